"""What workers and servers in containers need: a Python that any image can run, registries, built images."""
