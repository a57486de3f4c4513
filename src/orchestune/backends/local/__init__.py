"""Local backend: each worker is a process of this machine."""
