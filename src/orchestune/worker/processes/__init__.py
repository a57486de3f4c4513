"""Processes of trials: start, CPU pinning, termination, orphans, terminals, preloaded modules."""
