"""What there is of a cluster, service by service: what removal removes, and what the proof looks for."""
