"""Container registries: references, authentication, manifests, uploads."""
