"""Identical figures by several plot libraries, each from its current package."""
