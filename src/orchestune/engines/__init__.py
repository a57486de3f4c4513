"""What suggests configurations, each behind `orchestune.ports.engine.Engine`; `registry` has them by name."""
