"""Clusters: specification of clusters at cloud providers, and the built-in ones."""
