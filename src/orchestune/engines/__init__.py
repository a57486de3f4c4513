"""What suggests configurations: random, grid, Sobol, Halton and TPE behind `orchestune.ports.engine.Engine`."""
