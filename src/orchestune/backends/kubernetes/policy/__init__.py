"""Pod policy for experiments: an allow-list of the fields of a pod template. Pure functions."""
