"""What Hydra finds of Orchestune: `python train.py -m hydra/sweeper=orchestune 'lr=tag(log, interval(1e-5, 1e-1))'`.

Hydra executes this whenever any program of its runs, so what a sweep takes is imported when there is one. It is no
module for Python then, so annotations must not be texts.
"""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import ConfigCompositionException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OrchestuneSweeper(Sweeper):
    """Each configuration of a sweep is a trial of an experiment."""

    def __init__(
        self,
        metrics: Any,
        budget: int,
        parallelism: int,
        engine: Any,
        early_stopping: Any,
        seed: int | None,
        name: str | None,
        cluster: str | None,
        params: Any,
        keys: Any,
    ) -> None:
        self._wanted = {
            "metrics": metrics or {"objective": "minimize"},  # as a default, others would be added to it
            "budget": budget,
            "parallelism": parallelism,
            "engine": engine,
            "early_stopping": early_stopping,
            "seed": seed,
            "name": name,
        }
        self._cluster, self._params, self._keys = cluster, params, keys

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config

    def sweep(self, arguments: list[str]) -> Any:
        from orchestune.errors import OrchestuneError
        from orchestune.integrations.hydra.sweep import Sweep  # the whole client

        assert self.config is not None
        assert self.hydra_context is not None
        sweep = Sweep(self.config, self.hydra_context.config_loader, self._wanted, self._cluster)
        try:
            return sweep.run(arguments, self._params, self._keys)
        except OrchestuneError as exc:
            hint = f"\n{exc.hint}" if exc.hint else ""
            raise ConfigCompositionException(f"{exc}{hint}") from exc  # Hydra shows it without a traceback


@dataclass
class OrchestuneSweeperConf:
    """`hydra.sweeper`: what a sweep may be told."""

    _target_: str = "hydra_plugins.orchestune_sweeper.OrchestuneSweeper"
    metrics: Any = None
    """each with its goal, in the order in which the function returns them; None: `objective` is to be small"""
    budget: int = 20
    """trials that finish"""
    parallelism: int = 1
    """trials that run at the same time"""
    engine: Any = "auto"
    early_stopping: Any = None
    seed: Any = None
    name: Any = None
    """what the experiment is called; the name of the job where there is none"""
    cluster: Any = None
    """where it runs"""
    params: Any = None
    """overrides that are always part of the sweep, such as `{lr: "interval(0.1, 1)"}`"""
    keys: Any = None
    """any other keys of an experiment file"""


ConfigStore.instance().store(
    group="hydra/sweeper", name="orchestune", node=OrchestuneSweeperConf, provider="orchestune"
)
