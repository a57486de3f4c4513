"""What of the project's folder travels with an experiment."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_LIMIT = 200 * 2**20
STATE_MARK = ".orchestune-state"
"""a file in each folder of Orchestune's state, which never travels: it holds tokens and secrets"""
FETCHED = "# `orchestune get` made this folder\n*\n"
"""the ignore file of a folder with files of a trial, which later code does not take up"""
ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
"""what is in a folder that is a virtual environment, whatever it is called, and so tied to this machine"""


@dataclass(frozen=True)
class Code:
    """The section `code`: what the bundle leaves out, and how large it may be."""

    ignore: tuple[str, ...] = ()
    """patterns as in .gitignore"""
    limit: int = DEFAULT_LIMIT
    """bytes"""
    modules: tuple[str, ...] = ()
    """files of ours that go with it, relative to the folder: in the place of a service's module that is gone"""
