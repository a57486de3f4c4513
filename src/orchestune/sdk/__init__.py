"""The Python API of `import orchestune`. The part for trials only needs the standard library and imports quickly."""
