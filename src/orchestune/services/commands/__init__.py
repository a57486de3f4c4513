"""Use cases that users start: create, change, import and rerun experiments, queue and stop trials."""
