"""The resources of a cluster, in the order in which they are made."""
