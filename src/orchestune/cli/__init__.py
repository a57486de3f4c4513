"""The command line: one file per group of commands, and how things look on a terminal."""
