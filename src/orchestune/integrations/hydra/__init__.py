"""The sweeper plugin for Hydra, which finds it as `hydra_plugins.orchestune_sweeper`."""
