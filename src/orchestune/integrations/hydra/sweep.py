"""A sweep of Hydra as an experiment."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from orchestune.client.states import finished, over
from orchestune.errors import NothingCompleted
from orchestune.integrations.hydra.command import settings, typed
from orchestune.integrations.hydra.overrides import Swept
from orchestune.sdk.experiments import Experiment
from orchestune.sdk.trial import Trial

_log = logging.getLogger("orchestune")
_LOOK = 0.5
"""seconds between two looks whether a trial has finished"""
_OUTPUTS = ("/multirun/", "/outputs/")
"""where Hydra puts what runs leave behind; it is no code"""
RESULTS = "optimization_results.yaml"


class Sweep:
    """One sweep: `wanted` are keys of an experiment file."""

    def __init__(
        self, config: DictConfig, loader: ConfigLoader, wanted: Mapping[str, Any], cluster: str | None
    ) -> None:
        self._config, self._loader, self._cluster = config, loader, cluster
        self._wanted = {key: _plain(value) for key, value in wanted.items() if value is not None}

    def run(self, arguments: list[str], params: Any, keys: Any) -> Any:
        """Search, and write down what is best; that value, or the values of the front.

        Ctrl-C stops the experiment. Raises what `Experiment.create` does, and NothingCompleted.
        """
        folder = Path.cwd()
        sweep_dir = Path(self._config.hydra.sweep.dir).absolute()
        more = [f"{name}={value}" for name, value in (_plain(params) or {}).items()]
        swept = Swept(OverridesParser.create(config_loader=self._loader).parse_overrides([*more, *arguments]))
        self._loader.load_sweep_config(
            master_config=self._config, sweep_overrides=swept.example
        )  # tells misspelt names
        sweep_dir.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self._config, sweep_dir / "multirun.yaml")
        here = self._cluster in (None, "local")
        hydra = settings(self._config.hydra.overrides.hydra, sweep_dir if here else None, list(self._wanted["metrics"]))
        described = {
            "name": self._config.hydra.job.name,
            "code": {"ignore": [*_OUTPUTS, *_inside(sweep_dir, folder)]},
            **self._wanted,
            **(_plain(keys) or {}),
            "run": [*typed(folder), *swept.words, *hydra],
            "parameters": swept.parameters,
        }
        experiment = Experiment.create(folder=folder, cluster=self._cluster, **described)
        _log.info("%s: %s trials, %s at a time", experiment.handle, described["budget"], described["parallelism"])
        try:
            self._follow(experiment)
        except KeyboardInterrupt:
            experiment.stop()
            _log.warning("%s is stopped; `orchestune resume %s` goes on", experiment.handle, experiment.handle)
            raise
        return self._conclude(experiment, swept, sweep_dir / RESULTS)

    def _follow(self, experiment: Experiment) -> None:
        """Tell of each trial that finishes, until it is over."""
        told: set[int] = set()
        while True:
            status = experiment.status()
            for trial in experiment.results() if finished(status) > len(told) else ():
                if trial.number not in told and trial.state in ("completed", "failed", "pruned"):
                    told.add(trial.number)
                    _log.info("trial %s", _line(experiment, trial))
            if over(status):
                return
            time.sleep(_LOOK)

    def _conclude(self, experiment: Experiment, swept: Swept, path: Path) -> Any:
        status, front = experiment.status(), experiment.front()
        reason = status["reason"]["message"] if status["reason"] else status["state"]
        if status["state"] != "completed":
            _log.warning("%s is %s: %s", experiment.handle, status["state"], reason)
            experiment.stop()  # nobody would take its results
        if not front:
            raise NothingCompleted(
                f"no trial of {experiment.handle} completed: {reason}", f"orchestune logs {experiment.handle}"
            )
        metrics = list(self._wanted["metrics"])
        found: list[tuple[dict[str, Any], list[float]]] = [
            (
                {swept.keys[name]: value for name, value in trial.parameters.items()},
                [trial.metrics[name] for name in metrics],
            )
            for trial in front
        ]
        results: dict[str, Any] = {"name": "orchestune", "experiment": experiment.handle}
        if len(metrics) == 1:
            [(configuration, [value])] = found[:1]
            results |= {"trial": front[0].number, "best_params": configuration, "best_value": value}
            _log.info("best %s: %s with %s", metrics[0], value, configuration)
        else:
            results["solutions"] = [{"params": configuration, "values": values} for configuration, values in found]
            _log.info("%d trials on the Pareto front", len(found))
        OmegaConf.save(OmegaConf.create(results), path)
        _log.info("written to %s", path)
        return results.get("best_value", results.get("solutions"))


def _line(experiment: Experiment, trial: Trial) -> str:
    values = " ".join(f"{name}={value:g}" for name, value in trial.metrics.items())
    configuration = " ".join(f"{name}={value}" for name, value in trial.parameters.items())
    if trial.state == "failed":
        lines = (experiment.trial(trial.number).error or "").splitlines()
        said = [line for line in lines if line.strip() and "HYDRA_FULL_ERROR" not in line]
        values = ": ".join(dict.fromkeys(said[:1] + said[-1:]))
    return f"{trial.number} {trial.state}  {values}  {configuration}"


def _inside(path: Path, folder: Path) -> list[str]:
    """A pattern for what lies in the folder."""
    return [f"/{path.relative_to(folder)}/"] if path != folder and path.is_relative_to(folder) else []


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
