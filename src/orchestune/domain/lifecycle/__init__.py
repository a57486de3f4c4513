"""States, transitions, identifiers and durations of experiments, trials, attempts and workers."""
