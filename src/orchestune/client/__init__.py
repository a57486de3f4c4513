"""Typed client of an Orchestune server over one persistent connection."""
