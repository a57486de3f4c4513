"""Settings of the code bundle: files of the project folder that are uploaded with an experiment."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_LIMIT = 200 * 2**20
STATE_MARK = ".orchestune-state"
"""marker file in each of Orchestune's state folders, which are never bundled: they hold tokens and secrets"""
FETCHED = "# `orchestune get` made this folder\n*\n"
"""ignore file of a folder with downloaded files of a trial, which are not bundled with later code"""
ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta")
"""names that identify a folder as a virtual environment, which is tied to this machine, whatever the folder's name"""


@dataclass(frozen=True)
class CodeSettings:
    """The section `code`: exclusions and size limit of the bundle."""

    ignore: tuple[str, ...] = ()
    """patterns as in .gitignore"""
    limit: int = DEFAULT_LIMIT
    """bytes"""
    modules: tuple[str, ...] = ()
    """files of Orchestune that are added, relative to the folder, to replace the module of a discontinued service"""
    root: str = ""
    """folder that is packed, relative to the experiment file; empty: see `system.project_root`"""
    folder: str = ""
    """folder in which the command runs, relative to the packed one: empty if it is that one"""
