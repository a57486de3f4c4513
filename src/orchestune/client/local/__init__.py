"""State of this user on this machine, and the embedded server."""
