"""Inventory of a cluster's resources per service, used by removal and by the check that nothing is left."""
