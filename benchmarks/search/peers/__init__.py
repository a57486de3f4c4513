"""Searchers of others that have an environment of their own; `remote` runs them there, `table` says what they are."""
