"""Which pods experiments may have: a positive list of the fields of a pod template. Pure."""
