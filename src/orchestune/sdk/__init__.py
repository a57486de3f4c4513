"""What `import orchestune` offers to a training script: standard library only, quick to import."""
