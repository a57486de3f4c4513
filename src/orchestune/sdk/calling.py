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
    """Load the file and call what it holds, in the folder from which `tune` was called."""
    sys.argv[1] = os.path.abspath(path)  # for processes that are started anew in here
    call = _loaded(sys.argv[1])
    folder = os.environ.get("ORCHESTUNE_ORIGINAL_DIR")
    if folder and Path(folder).is_dir():
        os.chdir(folder)
    configuration = params()
    vars(sys.modules["__main__"]).update(_defined(call.function))  # nothing of this module's own is used after it
    call.as_program(configuration)


def _loaded(path: str) -> Any:
    """Return what is called, with the module path of the program that called `tune` in place: PYTHONPATH lacks those of
    its folders that other users can write to.
    """
    with open(path, "rb") as file:
        sys.path[1:] = dict.fromkeys([*pickle.load(file), *sys.path[1:]])
        return pickle.load(file)


def _defined(function: Any) -> dict[str, Any]:
    """What the program that called `tune` had defined, as far as the function refers to it. Here it stands where it
    stood there, since that is where pickle looks for classes and functions: `torch.save` of a model, a pool of workers.
    """
    while isinstance(function, partial):
        function = function.func
    found = getattr(function, "__globals__", None) or getattr(type(function).__call__, "__globals__", {})
    if found.get("__name__") != "__main__":
        return {}
    return {name: value for name, value in found.items() if not name.startswith("__")}


if __name__ == "__main__":
    main(sys.argv[1])
elif __name__ == "__mp_main__":  # a process that `multiprocessing` started anew: it looks for the same names
    globals().update(_defined(_loaded(sys.argv[1]).function))
