"""Clusters at AWS: EKS with managed node groups, in a network of its own or one that is there."""
