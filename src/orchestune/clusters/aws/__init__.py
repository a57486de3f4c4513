"""Clusters on AWS: EKS with managed node groups, in a new VPC or an existing one."""
