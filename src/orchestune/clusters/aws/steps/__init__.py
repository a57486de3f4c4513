"""Steps that create a cluster's resources, in order of creation."""
