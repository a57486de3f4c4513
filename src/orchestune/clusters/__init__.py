"""Where clusters come from: one package for each way, all beside the backends that run workers in them."""
