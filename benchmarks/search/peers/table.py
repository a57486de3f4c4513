"""The peers: a factory for each, and the packages that it needs beyond those of Orchestune."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from orchestune.domain.search.space import Space

Maker = Callable[[Space, int, int, int], Any]
"""from a space, a seed, a budget and a number of workers to a `Searcher`"""


@dataclass(frozen=True)
class Environment:
    """A folder with packages beside Orchestune's own; peers that agree on versions share one."""

    name: str
    packages: Sequence[str]
    torch: bool = False


TORCH = Environment(
    "search-torch",
    [
        "optuna>=5,<6",      # its Gaussian process
        "ax-platform>=1.3",  # brings BoTorch and GPyTorch
    ],
    torch=True,
)  # fmt: skip
OLDER = Environment(
    "search-hebo",
    [
        "hebo==0.3.6",  # its last version, which asks for a NumPy of 2022, and so for others of then
        "numpy==1.24.4", "scipy<1.14", "pandas<2.3", "matplotlib<3.9", "scikit-learn<1.6",
    ],
    torch=True,
)  # fmt: skip
PLAIN = Environment(
    "search",
    [
        "numpy<2.4",               # Nevergrad takes an array of one number for a number
        "smac>=2.3",               # SMAC3
        "scikit-optimize>=0.10.2",
        "nevergrad>=1.0.12",
    ],
)  # fmt: skip


@dataclass(frozen=True)
class Peer:
    """`maker` is a name in a module beside this one; without an environment `package` is one of Orchestune's own."""

    package: str
    module: str
    maker: str
    environment: Environment | None = None

    def make(self, space: Space, seed: int, budget: int, workers: int) -> Any:
        """A `Searcher`, in this process."""
        maker: Maker = getattr(import_module(f"benchmarks.search.peers.{self.module}"), self.maker)
        return maker(space, seed, budget, workers)


PEERS: Mapping[str, Peer] = {
    "optuna-tpe": Peer("optuna", "optuna_study", "tpe"),
    "optuna-tpe-group": Peer("optuna", "optuna_study", "tpe_group"),
    "optuna-gp": Peer("optuna", "optuna_study", "gp", TORCH),
    "ax": Peer("ax-platform", "ax", "Ax", TORCH),
    "hebo": Peer("hebo", "hebo", "Hebo", OLDER),
    "smac": Peer("smac", "smac3", "Smac3", PLAIN),
    "skopt": Peer("scikit-optimize", "scikit_optimize", "ScikitOptimize", PLAIN),
    "nevergrad": Peer("nevergrad", "nevergrad", "Nevergrad", PLAIN),
}
