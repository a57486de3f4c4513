"""How programs on this machine talk to a server: a typed client over one kept connection."""
