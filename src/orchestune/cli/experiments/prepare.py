"""Read and check an experiment file and list its folder's code, before anything is sent."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.experiments.check_script import (
    missing_script,
    reads_parameters,
    unused_parameters,
)
from orchestune.cli.experiments.command_words import DEFAULT_FILE, SAVED, add_description
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import add_cluster
from orchestune.client.local.endpoint import runs
from orchestune.client.local.home import state_path
from orchestune.domain.search.warm_start import WarmStart, WarmStarts
from orchestune.domain.specification.code import CodeSettings
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput
from orchestune.sdk.project_files import ProjectFiles, list_project

if TYPE_CHECKING:  # reading a file takes ruamel.yaml, which is slow to import
    from orchestune.config.document.nodes import Entries
    from orchestune.config.experiment_file import Loaded

_IGNORED = "this folder is packed by itself, since the project in {root} ignores it"


@dataclass(frozen=True)
class PreparedExperiment:
    """A checked experiment file and the listing of its code."""

    specification: Specification
    notes: tuple[str, ...]
    project: ProjectFiles
    """files of the project that contains the folder"""
    mark: str = ""
    """file or key by which the root of the project was found"""
    install: tuple[str, ...] = ()
    """commands that build the image"""
    dockerfile: str | None = None
    """a Dockerfile that builds it, relative to the folder"""
    text: str = ""
    """text of an equivalent experiment file"""
    document: Entries | None = None
    """the parsed document"""
    warm_starts: WarmStarts = WarmStarts()
    """results to start the search from, as far as they are known without a server"""
    warm_start: WarmStart | None = None
    """all of those results"""

    @property
    def folder(self) -> Path:
        """The folder of the experiment file, in which the command runs."""
        return self.project.root / self.project.code.folder


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """Add `-f`, `--set` and `--cluster`, which `run` and `test` share."""
    parser.add_argument(
        "-f", "--file", type=Path, metavar="FILE",
        help=f"experiment file (default: {DEFAULT_FILE}, unless the arguments name parameters or metrics)",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="override a value of the file, such as budget=80 or resources.cpu=2; repeatable",
    )  # fmt: skip
    add_cluster(parser, "cluster to run on: local, docker or a connected one (default: the default cluster)")
    add_description(parser)


def prepare(args: argparse.Namespace) -> PreparedExperiment:
    """Read and check the file or the arguments that replace it, and list the folder's code. Writes nothing.

    Raises BadInput and TooLarge.
    """
    from orchestune.cli.experiments.load_document import (
        loaded_from,  # imports ruamel.yaml, which is slow and only needed here
    )

    return prepared_from(loaded_from(args))


def prepared_from(loaded: Loaded) -> PreparedExperiment:
    """Prepare an experiment that was already parsed."""
    from orchestune.config.document import save  # as above

    prepared = listed(loaded.specification, loaded.project.path, loaded.code)
    return replace(
        prepared,
        notes=_notes(loaded, prepared.project.root),
        mark=loaded.project.mark,
        install=loaded.build.install,
        dockerfile=loaded.build.dockerfile,
        text=save.text(loaded.document, SAVED),
        document=loaded.document,
        warm_starts=loaded.warm_start,
    )


def _notes(loaded: Loaded, root: Path) -> tuple[str, ...]:
    from orchestune.config.sources.command_line import NO_PLACEHOLDER  # as above

    folder, run = loaded.folder, loaded.specification.run
    notes = [note for note in loaded.notes if note != NO_PLACEHOLDER or not reads_parameters(run, folder)]
    specification = loaded.specification
    others = specification.stdin or specification.constants
    names = [] if others else [entry.name for entry in specification.space.parameters]
    unused_notes = unused_parameters(run, names, folder)
    alone = () if root == loaded.project.path else (_IGNORED.format(root=loaded.project.path),)
    return (*notes, *alone, *unused_notes, *missing_script(run, folder, root))


@contextmanager
def located(prepared: PreparedExperiment) -> Iterator[None]:
    """Add the lines of the experiment file to a BadInput raised in the block, which a valid file can still cause."""
    try:
        yield
    except BadInput as exc:
        if prepared.document is None:
            raise
        from orchestune.config.document import report  # as above

        raise BadInput([report.located(problem, prepared.document) for problem in exc.problems], exc.hint) from exc


def listed(specification: Specification, root: Path, code: CodeSettings) -> PreparedExperiment:
    """List the project's code for this experiment. Raises what `prepare` raises."""
    return PreparedExperiment(specification, (), list_project(specification, root, code))


def warmed(console: Console, prepared: PreparedExperiment, start: bool = True) -> PreparedExperiment:
    """Add the results for a warm start that a server has.

    The server of this machine is only asked if it runs or may be started (`start`). Raises what `gather` raises.
    """
    from orchestune.sdk.warm_start import gather  # as above

    sources, unknown = prepared.warm_starts, tuple[str, ...]()
    if sources.experiments and not start and console.place.embedded and not runs(state_path(console.environ)):
        unknown = (
            f"warm_start: no results of {', '.join(sources.experiments)}: no server is running, and none was started",
        )
        sources = replace(sources, experiments=())
    warm_start = gather(lambda: console.client, sources, prepared.specification)
    return replace(
        prepared, warm_start=warm_start, notes=(*prepared.notes, *(warm_start.notes if warm_start else ()), *unknown)
    )
