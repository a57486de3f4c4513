"""The experiment file and the folder's code, checked and listed, before anything is sent anywhere."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.experiments.check_script import absent, asks, left_over, withheld
from orchestune.cli.experiments.command_words import DEFAULT_FILE, SAVED, add_description
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import add_cluster
from orchestune.client.local.endpoint import runs
from orchestune.client.local.home import state_path
from orchestune.client.local.launch_context import environment
from orchestune.domain.search.warm_start import WarmStart, WarmStarts
from orchestune.domain.specification.code import CodeSettings
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput
from orchestune.sdk.project_files import list_project

if TYPE_CHECKING:  # reading a file takes ruamel.yaml, which is slow to import
    from orchestune.config.document.nodes import Entries
    from orchestune.config.experiment_file import Loaded


@dataclass(frozen=True)
class PreparedExperiment:
    """A checked experiment file and what its code is."""

    specification: Specification
    notes: tuple[str, ...]
    folder: Path
    ignore: tuple[str, ...]
    """patterns of what is not packed: the file's, of what nobody else may see, and of what is a trial's own"""
    code: CodeSettings
    """what the file says of the code"""
    files: int
    size: int
    """bytes of the code, not packed"""
    links: tuple[str, ...]
    """what is not packed but linked on this machine"""
    own: tuple[str, ...] = ()
    """what would be linked, did `keep` not name it"""
    secret_files: tuple[str, ...] = ()
    """what is not packed since it holds secrets"""
    install: tuple[str, ...] = ()
    """commands that make the image"""
    dockerfile: str | None = None
    """a Dockerfile that makes it, relative to the folder"""
    text: str = ""
    """a file that says the same"""
    document: Entries | None = None
    """what was read"""
    warm_starts: WarmStarts = WarmStarts()
    """what the search begins with, as far as it is known without a server"""
    warm_start: WarmStart | None = None
    """all of that"""


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """`-f`, `--set` and `--cluster`, which `test` has as well."""
    parser.add_argument(
        "-f", "--file", type=Path, metavar="FILE",
        help=f"default: {DEFAULT_FILE}, unless parameters or metrics are named here",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="set a value in the place of that of the file, such as budget=80 or resources.cpu=2; may be repeated",
    )  # fmt: skip
    add_cluster(parser, "where to run: local, docker or a connected one (default: the default one)")
    add_description(parser)


def prepare(args: argparse.Namespace) -> PreparedExperiment:
    """Read and check the file or what stands for one, and list the folder's code. Writes nothing.

    BadInput and TooLarge say what is wrong.
    """
    from orchestune.cli.experiments.load_document import (
        loaded_from,  # ruamel.yaml is slow to import, and only needed here
    )

    return prepared_from(loaded_from(args))


def prepared_from(loaded: Loaded) -> PreparedExperiment:
    """The same for an experiment that was read already."""
    from orchestune.config.document import save  # here, as above

    return replace(
        listed(loaded.specification, loaded.folder, loaded.code),
        notes=_notes(loaded),
        install=loaded.build.install,
        dockerfile=loaded.build.dockerfile,
        text=save.text(loaded.document, SAVED),
        document=loaded.document,
        warm_starts=loaded.warm_start,
    )


def _notes(loaded: Loaded) -> tuple[str, ...]:
    from orchestune.config.sources.command_line import NO_PLACEHOLDER  # here, as above

    folder, run, secrets = loaded.folder, loaded.specification.run, {one.name for one in loaded.specification.secrets}
    given = {*environment(os.environ), *loaded.specification.env, *secrets}
    known = [note for note in loaded.notes if note != NO_PLACEHOLDER or not asks(run, folder)]
    names = [] if loaded.specification.stdin else [one.name for one in loaded.specification.space.parameters]
    unused = left_over(run, names, folder)
    return (*known, *unused, *absent(run, folder), *withheld(run, folder, os.environ, given))


@contextmanager
def located(prepared: PreparedExperiment) -> Iterator[None]:
    """What turns out to be wrong within, though the file is right, is told with the lines that it is about."""
    try:
        yield
    except BadInput as exc:
        if prepared.document is None:
            raise
        from orchestune.config.document import report  # here, as above

        raise BadInput([report.located(problem, prepared.document) for problem in exc.problems], exc.hint) from exc


def listed(specification: Specification, folder: Path, code: CodeSettings) -> PreparedExperiment:
    """The folder's code, listed for this experiment. Raises what `prepare` does."""
    found = list_project(specification, folder, code)
    return PreparedExperiment(
        specification,
        (),
        folder,
        found.ignore,
        code,
        found.files,
        found.size,
        found.links,
        found.own,
        found.secrets,
    )


def warmed(console: Console, prepared: PreparedExperiment, start: bool = True) -> PreparedExperiment:
    """The same with the results that a server has; that of this machine is only asked where it runs or may `start`.

    Raises what `gather` does.
    """
    from orchestune.sdk.warm_start import gather  # here: ruamel.yaml, as above

    wanted, unknown = prepared.warm_starts, tuple[str, ...]()
    if wanted.experiments and not start and console.place.embedded and not runs(state_path(console.environ)):
        unknown = (f"warm_start: no server runs that knows of {', '.join(wanted.experiments)}, and none was started",)
        wanted = replace(wanted, experiments=())
    found = gather(lambda: console.client, wanted, prepared.specification)
    return replace(prepared, warm_start=found, notes=(*prepared.notes, *(found.notes if found else ()), *unknown))
