"""The specification of an experiment: metrics, folds, stop rules, notifications."""
