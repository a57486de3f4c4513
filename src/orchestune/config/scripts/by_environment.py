"""Variables of the environment that a script of Python reads: `float(os.environ.get("LR", "0.01"))`."""

from __future__ import annotations

import ast
import re

from orchestune.config.document.scalars import resolve
from orchestune.config.scripts.option import Kind, Option, Script, plain
from orchestune.config.scripts.scope import ModuleScope, calls, keywords

_GET = ("os.environ.get", "os.getenv", "os.environ.setdefault")
_CONVERTED: dict[str, Kind] = {"float": "float", "int": "int"}
OF_THE_MACHINE = re.compile(
    r"(?:LOCAL_|GROUP_|NODE_)?RANK|(?:LOCAL_)?WORLD_SIZE|HOME|USER|PATH|TMPDIR|PORT|DEBUG|CI|NO_COLOR|\w+_THREADS|"
    r"\w+_(?:ADDR|HOST|PORT|DIR|FOLDER|PATH|FILE|URL|URI|KEY|TOKEN|SECRET|PASSWORD|TIMEOUT)|"
    r"(?:ORCHESTUNE|WANDB|MLFLOW|SLURM|KUBERNETES|AWS|HF|NCCL|CUDA|TF|XLA|JAX|PYTHON|PYTORCH|TORCH|OMPI|PMI|PBS|SGE)_\w+"
)
"""variables that say where a script runs, and not how it trains"""


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """None where none of them is a number."""
    kinds = {id(call.args[0]): kind for call in calls(tree) if (kind := _converts(call, scope)) is not None}
    reading = [node for node in ast.walk(tree) if isinstance(node, (ast.Call, ast.Subscript))]
    found: dict[str, Option] = {}
    for node in sorted(reading, key=lambda node: (node.lineno, node.col_offset)):
        name, default = _read(node, scope)
        if not isinstance(name, str) or OF_THE_MACHINE.fullmatch(name):
            continue
        value = plain(resolve(default) if isinstance(default, str) else default)
        kind = kinds.get(id(node), _kind(value))
        if value is not None or kind != "other":
            found.setdefault(name, Option(name, kind, value))
    numbers = any(option.kind in ("int", "float") for option in found.values())
    return Script("the environment", tuple(found.values()), way="") if numbers else None


def _converts(call: ast.Call, scope: ModuleScope) -> Kind | None:
    """What it makes of the one thing that it is given; None where that is no number."""
    return _CONVERTED.get(scope.named(call.func)) if len(call.args) == 1 else None


def _read(node: ast.Call | ast.Subscript, scope: ModuleScope) -> tuple[object, object]:
    """The name of the variable that is read, and its default."""
    if isinstance(node, ast.Call):
        given = dict(zip(("key", "default"), node.args, strict=False)) | keywords(node)
        named = given.get("key") if scope.named(node.func) in _GET else None
        return scope.or_none(named), scope.or_none(given.get("default"))
    loads = isinstance(node.ctx, ast.Load) and scope.named(node.value) == "os.environ"
    return scope.or_none(node.slice) if loads else None, None


def _kind(value: object) -> Kind:
    if isinstance(value, bool):
        return "other"
    return "int" if isinstance(value, int) else "float" if isinstance(value, float) else "text" if value else "other"
