"""The programs of `examples/` as their authors wrote them: none of them knows the tool that searches."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
TRIALS, AT_A_TIME = 12, 2


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds, both included."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """True if they are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


@dataclass(frozen=True)
class Switch:
    """An option that is there, or not."""


Space = Mapping[str, Range | Switch | tuple[str, ...]]


@dataclass(frozen=True)
class Task:
    """One program: its command, what is varied, and how it reports its result."""

    title: str
    example: str
    command: tuple[str, ...]
    space: Space
    metric: str
    goal: str
    printed: str = ""
    """an expression that finds the value in what it prints; the last one counts"""
    kind: str = "options"
    """how values reach it: options, config (a file), hydra, sklearn, notebook"""
    unknowing: tuple[tuple[str, str], ...] = ()
    """what in the example's program is Orchestune's, and what would stand there without"""
    programs: Mapping[str, str] = field(default_factory=dict)
    """programs in the place of the example's"""

    @property
    def name(self) -> str:
        """As it is called on a command line."""
        return self.title.lower().replace(" ", "-").replace(".", "")

    def lay_out(self, folder: Path) -> None:
        """Write the program into an empty folder."""
        shutil.copytree(EXAMPLES / self.example, folder, dirs_exist_ok=True)
        for name in ("README.md", "experiment.yml"):
            (folder / name).unlink(missing_ok=True)
        for name, text in self.programs.items():
            (folder / name).write_text(text)
        for old, new in self.unknowing:
            program = folder / self.command[-1]
            text = program.read_text()
            if old not in text:
                raise ValueError(f"{program.name} of {self.example} does not have: {old!r}")
            program.write_text(text.replace(old, new))


_PYTHON = ("python", "train.py")
_NODE = """\
import { readFileSync } from "node:fs";

const { rate, momentum, steps } = JSON.parse(readFileSync(process.argv[2], "utf8"));
let [place, speed] = [3, 0];
for (let step = 1; step <= steps; step++) {
  speed = momentum * speed - 2 * rate * place;
  place += speed;
}
console.log(`loss: ${Math.min(place ** 2, 1e9)}`);
"""
_OPTIONS = """\
parser = argparse.ArgumentParser()
parser.add_argument("--eta", type=float)
parser.add_argument("--max_depth", type=int)
params = vars(parser.parse_args())
"""
_METRICS = """\
    with open(os.environ.get("ORCHESTUNE_METRICS", os.devnull), "a") as file:
        print(json.dumps({"loss": loss, "step": state["epoch"]}), file=file)
"""
_REPORTS = """\
        orchestune.report(objective=loss, step=step)  # for early stopping; by hand it prints
        if orchestune.should_stop():
            break
"""
_XGBOOST = (
    ("import orchestune\nfrom orchestune.integrations.xgboost import OrchestuneCallback\n", "import argparse\n"),
    ('params = orchestune.params({"eta": 0.1, "max_depth": 4, "subsample": 1.0, "lambda": 1.0})\n',
     _OPTIONS),
    ("    verbose_eval=False,\n    callbacks=[OrchestuneCallback()],\n", "    verbose_eval=10,\n"),
)  # fmt: skip
_CHECKPOINT = (
    ('parser.add_argument("--epochs", type=int, default=40)\n',
     'parser.add_argument("--epochs", type=int, default=40)\nparser.add_argument("--state", default=".")\n'),
    ('os.environ.get("ORCHESTUNE_CHECKPOINT_DIR", ".")', "options.state"),
    (_METRICS, ""),
    ("import os\n", ""),
)  # fmt: skip
_HYDRA = (
    ("import hydra\n\nimport orchestune\n", "import hydra\n"),
    (_REPORTS, ""),
)  # fmt: skip
_SKLEARN = (
    ("from orchestune.sklearn import SearchCV\n", "from sklearn.model_selection import RandomizedSearchCV\n"),
    ("search = SearchCV(\n", "search = RandomizedSearchCV(\n"),
    ('        "svc__C": "0.01..100 log",\n        "svc__gamma": "1e-4..1 log",\n',
     '        "svc__C": loguniform(0.01, 100),\n        "svc__gamma": loguniform(1e-4, 1),\n'),
    ("from sklearn.datasets import load_digits\n",
     "from scipy.stats import loguniform\nfrom sklearn.datasets import load_digits\n"),
)  # fmt: skip
_CELL = """\
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import cross_val_score

images, digits = load_digits(return_X_y=True)


def accuracy(alpha: float, penalty: str) -> float:
    model = SGDClassifier(alpha=alpha, penalty=penalty, random_state=0)
    return float(cross_val_score(model, images / 16, digits, cv=3).mean())
"""

TASKS = (
    Task("argparse", "12-no-file", _PYTHON,
         {"lr": Range(1e-3, 1.0, True), "momentum": Range(0.0, 0.99), "loss": ("squared", "absolute")},
         "val/loss", "minimize", r"val/loss=(\S+)"),
    Task("Hydra", "20-hydra", _PYTHON, {"optim.lr": Range(1e-3, 1.0, True), "optim.momentum": Range(0.0, 0.99)},
         "objective", "minimize", kind="hydra", unknowing=_HYDRA),
    Task("config file", "13-config-file", _PYTHON,
         {"optimizer.lr": Range(1e-4, 1.0, True), "model.units": Range(8, 128, True)},
         "val_loss", "minimize", kind="config"),
    Task("Keras log", "21-keras-log", _PYTHON, {"lr": Range(1e-3, 10.0, True), "units": Range(4, 256, True)},
         "val_loss", "minimize", r"val_loss: (\S+)"),
    Task("Lightning log", "22-lightning-log", _PYTHON, {"lr": Range(1e-3, 1.0, True), "dropout": Range(0.0, 0.5)},
         "val_loss", "minimize", r"val_loss=([0-9.]+)"),
    Task("XGBoost", "18-xgboost", _PYTHON, {"eta": Range(0.01, 1.0, True), "max_depth": Range(2, 8)},
         "valid-rmse", "minimize", r"valid-rmse:(\S+)", unknowing=_XGBOOST),
    Task("LightGBM", "19-lightgbm", _PYTHON,
         {"rate": Range(0.01, 1.0, True), "leaves": Range(4, 64, True), "extra-trees": Switch()},
         "l2", "minimize", r"l2: (\S+)"),
    Task("scikit-learn search", "15-sklearn-search", ("python", "search.py"), {}, "score", "maximize",
         kind="sklearn", unknowing=_SKLEARN),
    Task("notebook", "17-notebook", ("python", "cells.py"),
         {"alpha": Range(1e-6, 0.1, True), "penalty": ("l1", "l2")}, "accuracy", "maximize", kind="notebook",
         programs={"cells.py": _CELL}),
    Task("Java", "23-java", ("java", "Anneal.java"),
         {"temperature": Range(0.1, 100.0, True), "cooling": Range(0.99, 0.9999), "width": Range(0.05, 2.0, True)},
         "minimum", "minimize", r"minimum[:=] ?(\S+)"),
    Task("Node.js", "24-nodejs", ("node", "train.mjs"), {"rate": Range(1e-3, 1.0, True), "momentum": Range(0.0, 0.95)},
         "loss", "minimize", r"loss: (\S+)", kind="config",
         programs={"train.mjs": _NODE, "base.json": json.dumps({"rate": 0.1, "momentum": 0.5, "steps": 30}) + "\n"}),
    Task("Go", "25-go", ("go", "run", "perceptron.go"), {"rate": Range(1e-3, 1.0, True), "epochs": Range(1, 20)},
         "accuracy", "maximize", r"accuracy=(\S+)"),
    Task("checkpoint and resume", "06-checkpoint-and-resume", _PYTHON, {"rate": Range(1e-3, 1.0, True)},
         "loss", "minimize", r"loss=(\S+)", kind="checkpoint", unknowing=_CHECKPOINT),
)  # fmt: skip
