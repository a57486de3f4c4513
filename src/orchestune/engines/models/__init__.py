"""Surrogate models of metrics: Gaussian processes, their training data, and what is derived from them."""
