"""Differences between two trials. The documents are those of the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestune.documents import ChangedFile, Difference

Document = Mapping[str, Any]
Pair = list[Any]
"""values in the first and the second trial; None: absent"""


class ComparedTrial:
    """One of the two trials, with the specification and launch settings at the time it was queued."""

    def __init__(self, status: Document, trial: Document, document: Document, constants: Mapping[str, str]) -> None:
        """`constants` are the lines of its own copy of the script, by their position."""
        self.name = f"{status['handle']}/{trial['number']}"
        self.trial = trial
        self._status, self._specification, self._launch = status, document["specification"], document["launch"] or {}
        self._constants = constants

    def metrics(self) -> dict[str, Any]:
        """Return the measured values by metric."""
        return {name: metric["value"] for name, metric in self.trial["metrics"].items()}

    def configuration(self) -> dict[str, Any]:
        """Return the parameters, the seed and the command with its inputs."""
        specification = self._specification
        configuration: dict[str, Any] = {
            f"parameters.{name}": value for name, value in self.trial["parameters"].items()
        }
        configuration |= {
            "seed": self.trial["seed"],
            "run": specification["run"],
            "folds": (specification.get("folds") or {}).get("count", 1),
        }
        config = specification.get("config")
        return {
            **configuration,
            "stdin": specification.get("stdin") or None,
            "config": config["name"] if config else None,
            **self._constants,
        }

    def environment(self) -> dict[str, Any]:
        """Return the cluster, node, image, Python, resources and environment variables."""
        specification, launch = self._specification, self._launch
        placement, python = specification.get("placement") or {}, launch.get("python") or {}
        last = self.trial["attempts"][-1] if self.trial["attempts"] else None
        environment = {
            "cluster": self._status["cluster"],
            "node": last["node"] if last else None,
            "gpus": ", ".join(last["gpus"]) or None if last else None,
            "image": placement.get("image"),
            "python": python.get("version"),
            "python.path": python.get("path"),
            "folder": launch.get("root"),
            "timeout": specification.get("timeout"),
        }
        environment |= {f"resources.{name}": value for name, value in (specification.get("resources") or {}).items()}
        environment |= {f"env.{name}": value for name, value in (specification.get("env") or {}).items()}
        environment |= {f"secrets.{secret['name']}": secret["source"] for secret in specification.get("secrets") or ()}
        return environment | {f"shell.{name}": value for name, value in (launch.get("env") or {}).items()}


def document(old: ComparedTrial, new: ComparedTrial, files: Sequence[ChangedFile]) -> Difference:
    """Return the document that `diff --json` prints; `files` are the code files that differ."""
    return {
        "schema": 1,
        "trials": [old.name, new.name],
        "metrics": different(old.metrics(), new.metrics()),
        "configuration": different(old.configuration(), new.configuration()),
        "environment": different(old.environment(), new.environment()),
        "code": {"bundles": [old.trial["bundle"], new.trial["bundle"]], "files": list(files)},
    }


def different(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Pair]:
    """Return both values for each key whose values differ, in the order of the keys."""
    return dict(_different(old, new))


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Pair]]:
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield name, [old.get(name), new.get(name)]
