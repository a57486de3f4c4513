"""In-memory state of the server process, rebuilt from rows after a restart: caches, statistics, signals."""
