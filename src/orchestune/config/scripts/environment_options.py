"""Environment variables that a Python script reads: `float(os.environ.get("LR", "0.01"))`."""

from __future__ import annotations

import ast
import re

from orchestune.config.document.scalars import resolve
from orchestune.config.scripts.option import Kind, Option, Script, plain
from orchestune.config.scripts.scope import ModuleScope, calls, keywords

_GET = ("os.environ.get", "os.getenv", "os.environ.setdefault")
_CONVERTED: dict[str, Kind] = {"float": "float", "int": "int"}
NOT_HYPERPARAMETERS = re.compile(
    r"(?:LOCAL_|GROUP_|NODE_)?RANK|(?:LOCAL_)?WORLD_SIZE|HOME|USER|PATH|TMPDIR|PORT|DEBUG|CI|NO_COLOR|\w+_THREADS|"
    r"\w+_(?:ADDR|HOST|PORT|DIR|FOLDER|PATH|FILE|URL|URI|KEY|TOKEN|SECRET|PASSWORD|TIMEOUT)|"
    r"(?:ORCHESTUNE|WANDB|MLFLOW|SLURM|KUBERNETES|AWS|HF|NCCL|CUDA|TF|XLA|JAX|PYTHON|PYTORCH|TORCH|OMPI|PMI|PBS|SGE)_\w+"
)
"""variables that describe the environment of a script, not its training"""


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """Return the variables, or None if none of them is a number."""
    kinds = {id(call.args[0]): kind for call in calls(tree) if (kind := _converts(call, scope)) is not None}
    candidates = [node for node in ast.walk(tree) if isinstance(node, (ast.Call, ast.Subscript))]
    variables: dict[str, Option] = {}
    for node in sorted(candidates, key=lambda node: (node.lineno, node.col_offset)):
        name, default = _read(node, scope)
        if not isinstance(name, str) or NOT_HYPERPARAMETERS.fullmatch(name):
            continue
        value = plain(resolve(default) if isinstance(default, str) else default)
        kind = kinds.get(id(node), _kind(value))
        if value is not None or kind != "other":
            variables.setdefault(name, Option(name, kind, value))
    numbers = any(option.kind in ("int", "float") for option in variables.values())
    return Script("the environment", tuple(variables.values()), argument_template="") if numbers else None


def _converts(call: ast.Call, scope: ModuleScope) -> Kind | None:
    """Return the kind to which a call converts its only argument; None if that is not a number."""
    return _CONVERTED.get(scope.named(call.func)) if len(call.args) == 1 else None


def _read(node: ast.Call | ast.Subscript, scope: ModuleScope) -> tuple[object, object]:
    """Return the name of the variable that a node reads, and its default."""
    if isinstance(node, ast.Call):
        args = dict(zip(("key", "default"), node.args, strict=False)) | keywords(node)
        name_node = args.get("key") if scope.named(node.func) in _GET else None
        return scope.or_none(name_node), scope.or_none(args.get("default"))
    is_read = isinstance(node.ctx, ast.Load) and scope.named(node.value) == "os.environ"
    return scope.or_none(node.slice) if is_read else None, None


def _kind(value: object) -> Kind:
    if isinstance(value, bool):
        return "other"
    return "int" if isinstance(value, int) else "float" if isinstance(value, float) else "text" if value else "other"
