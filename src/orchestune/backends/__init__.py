"""Places where workers run, one package each."""
