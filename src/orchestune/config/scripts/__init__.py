"""Extraction of a script's options from its source text. Nothing is executed."""
