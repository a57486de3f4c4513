"""What `import orchestune` offers. What trials use of it is the standard library alone, and quick to import."""
