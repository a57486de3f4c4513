"""The subcommands of `cluster`, and their shared parts."""
