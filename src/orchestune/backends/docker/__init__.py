"""Docker backend: each worker is a container of one Docker daemon."""
