"""Backends that run workers, one package each."""
