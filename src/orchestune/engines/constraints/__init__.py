"""Feasible and distinct configurations, whatever the sampler."""
