"""Export of experiments to experiment trackers: a run per trial, grouped by experiment."""
