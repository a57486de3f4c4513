"""Runs a Hydra sweep as an experiment."""

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
from orchestune.integrations.hydra.command import program_command, settings
from orchestune.integrations.hydra.overrides import Swept
from orchestune.sdk.experiments import Experiment
from orchestune.sdk.trial import Trial

_log = logging.getLogger("orchestune")
_POLL_SECONDS = 0.5
"""seconds between two checks for finished trials"""
_OUTPUTS = ("/multirun/", "/outputs/")
"""output folders of Hydra, which are not packed as code"""
RESULTS = "optimization_results.yaml"


class Sweep:
    """One sweep; `experiment_keys` are keys of an experiment file."""

    def __init__(
        self, config: DictConfig, loader: ConfigLoader, experiment_keys: Mapping[str, Any], cluster: str | None
    ) -> None:
        self._config, self._loader, self._cluster = config, loader, cluster
        self._experiment_keys = {key: _plain(value) for key, value in experiment_keys.items() if value is not None}

    def run(self, arguments: list[str], params: Any, keys: Any) -> Any:
        """Run the search and save the best result; returns the best value, or the values of the front.

        Ctrl-C stops the experiment. Raises the errors of `Experiment.create`, and NothingCompleted.
        """
        folder = Path.cwd()
        sweep_dir = Path(self._config.hydra.sweep.dir).absolute()
        param_overrides = [f"{name}={value}" for name, value in (_plain(params) or {}).items()]
        swept = Swept(
            OverridesParser.create(config_loader=self._loader).parse_overrides([*param_overrides, *arguments])
        )
        self._loader.load_sweep_config(
            master_config=self._config, sweep_overrides=swept.example
        )  # reports misspelled names
        sweep_dir.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self._config, sweep_dir / "multirun.yaml")
        is_local = self._cluster in (None, "local")
        hydra = settings(
            self._config.hydra.overrides.hydra, sweep_dir if is_local else None, list(self._experiment_keys["metrics"])
        )
        document = {
            "name": self._config.hydra.job.name,
            "code": {"ignore": [*_OUTPUTS, *_inside(sweep_dir, folder)]},
            **self._experiment_keys,
            **(_plain(keys) or {}),
            "run": [*program_command(folder), *swept.words, *hydra],
            "parameters": swept.parameters,
        }
        experiment = Experiment.create(folder=folder, cluster=self._cluster, **document)
        _log.info("%s: %s trials, %s at a time", experiment.handle, document["budget"], document["parallelism"])
        try:
            self._follow(experiment)
        except KeyboardInterrupt:
            experiment.stop()
            _log.warning("%s is stopped; continue with `orchestune resume %s`", experiment.handle, experiment.handle)
            raise
        return self._conclude(experiment, swept, sweep_dir / RESULTS)

    def _follow(self, experiment: Experiment) -> None:
        """Log each finished trial until the experiment is over."""
        logged: set[int] = set()
        while True:
            status = experiment.status()
            for trial in experiment.results() if finished(status) > len(logged) else ():
                if trial.number not in logged and trial.state in ("completed", "failed", "pruned"):
                    logged.add(trial.number)
                    _log.info("trial %s", _line(experiment, trial))
            if over(status):
                return
            time.sleep(_POLL_SECONDS)

    def _conclude(self, experiment: Experiment, swept: Swept, path: Path) -> Any:
        status, front = experiment.status(), experiment.front()
        reason = status["reason"]["message"] if status["reason"] else status["state"]
        if status["state"] != "completed":
            _log.warning("%s is %s: %s", experiment.handle, status["state"], reason)
            experiment.stop()  # its results would not be used
        if not front:
            raise NothingCompleted(
                f"no trial of {experiment.handle} completed: {reason}", f"see `orchestune logs {experiment.handle}`"
            )
        metrics = list(self._experiment_keys["metrics"])
        solutions: list[tuple[dict[str, Any], list[float]]] = [
            (
                {swept.keys[name]: value for name, value in trial.parameters.items()},
                [trial.metrics[name] for name in metrics],
            )
            for trial in front
        ]
        results: dict[str, Any] = {"name": "orchestune", "experiment": experiment.handle}
        if len(metrics) == 1:
            [(configuration, [value])] = solutions[:1]
            results |= {"trial": front[0].number, "best_params": configuration, "best_value": value}
            _log.info("best %s: %s with %s", metrics[0], value, configuration)
        else:
            results["solutions"] = [{"params": configuration, "values": values} for configuration, values in solutions]
            _log.info("%d trials on the Pareto front", len(solutions))
        OmegaConf.save(OmegaConf.create(results), path)
        _log.info("written to %s", path)
        return results.get("best_value", results.get("solutions"))


def _line(experiment: Experiment, trial: Trial) -> str:
    values = " ".join(f"{name}={value:g}" for name, value in trial.metrics.items())
    configuration = " ".join(f"{name}={value}" for name, value in trial.parameters.items())
    if trial.state == "failed":
        lines = (experiment.trial(trial.number).error or "").splitlines()
        error_lines = [line for line in lines if line.strip() and "HYDRA_FULL_ERROR" not in line]
        values = ": ".join(dict.fromkeys(error_lines[:1] + error_lines[-1:]))
    return f"{trial.number} {trial.state}  {values}  {configuration}"


def _inside(path: Path, folder: Path) -> list[str]:
    """Return an ignore pattern for a path in the folder."""
    return [f"/{path.relative_to(folder)}/"] if path != folder and path.is_relative_to(folder) else []


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
