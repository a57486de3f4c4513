"""Implementations of the `FileStore` port: a folder, and an S3-compatible object store."""
