"""Container images for workers and servers: a Python that runs in any image, registries, image builds."""
