"""Commands that start and control experiments: run, rerun, stop, pause, wait."""
