"""Engines: random, quasi-random, evolutionary and model-based samplers of a search space."""
