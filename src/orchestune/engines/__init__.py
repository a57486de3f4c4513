"""Search algorithms, each behind `orchestune.ports.engine.Engine`; `registry` creates them by name."""
