"""The commands of `cluster`: create, connect, test, status, release, destroy, and what they have in common."""
