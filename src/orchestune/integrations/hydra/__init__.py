"""The sweeper for Hydra; `hydra_plugins.orchestune_sweeper` is where Hydra finds it."""
