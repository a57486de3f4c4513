"""The program of a trial of `orchestune.tune`: `python -m orchestune.sdk.calling FILE` calls the function in the file.

Nothing imports it, so that a preloaded process finds it as new as any other one does.
"""

from __future__ import annotations

import os
import pickle
import sys
from functools import partial
from pathlib import Path
from typing import Any

from orchestune.sdk.parameters import params


def main(path: str) -> None:
    """Load the file and call its function, in the folder in which `tune` was called."""
    sys.argv[1] = os.path.abspath(path)  # for processes that are spawned from here
    call = _load(sys.argv[1])
    folder = os.environ.get("ORCHESTUNE_ORIGINAL_DIR")
    if folder and Path(folder).is_dir():
        os.chdir(folder)
    configuration = params()
    vars(sys.modules["__main__"]).update(
        _main_globals(call.function)
    )  # no global of this module is used after this line
    call.as_program(configuration)


def _load(path: str) -> Any:
    """Return the call, after restoring the module path of the program that called `tune`.

    PYTHONPATH lacks folders that other users can write to.
    """
    with open(path, "rb") as file:
        sys.path[1:] = dict.fromkeys([*pickle.load(file), *sys.path[1:]])
        return pickle.load(file)


def _main_globals(function: Any) -> dict[str, Any]:
    """Return the globals of the program that called `tune`, if the function refers to its main module.

    They are restored as globals of this main module, where pickle looks up classes and functions: for `torch.save` of a
    model, or a process pool.
    """
    while isinstance(function, partial):
        function = function.func
    variables = getattr(function, "__globals__", None) or getattr(type(function).__call__, "__globals__", {})
    if variables.get("__name__") != "__main__":
        return {}
    return {name: value for name, value in variables.items() if not name.startswith("__")}


if __name__ == "__main__":
    main(sys.argv[1])
elif __name__ == "__mp_main__":  # a spawned process of `multiprocessing` looks up the same names
    globals().update(_main_globals(_load(sys.argv[1]).function))
