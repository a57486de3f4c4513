"""Sources of clusters, one package each. Independent of the backends that run workers in them."""
