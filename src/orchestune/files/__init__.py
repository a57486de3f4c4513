"""Implementations of the port for files: a folder, and an S3-compatible object store."""
