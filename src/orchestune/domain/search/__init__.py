"""The search space, its trials, and findings about a search."""
