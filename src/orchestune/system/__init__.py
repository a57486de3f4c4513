"""Access to the operating system for all packages: private files, sockets, process identities."""
