"""What a command works with: its streams, the environment, the server; and which experiment is meant."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from orchestune import __version__
from orchestune.cli.terminal.render import Paint, displayed, one_line
from orchestune.cli.terminal.silence import waits
from orchestune.client.address import ServerPlace, named_server, place
from orchestune.client.api import Client
from orchestune.client.connection.versions import difference, remedy
from orchestune.client.local.experiment_index import ExperimentIndex, StartedExperiment
from orchestune.client.local.home import state_folder
from orchestune.client.local.launch_context import folder_key
from orchestune.client.local.outdated import REMEDY, changed
from orchestune.domain.lifecycle.ids import split_reference
from orchestune.errors import NotFound, OrchestuneError, TemporaryError, UsageError

if TYPE_CHECKING:
    from orchestune import documents


@dataclass
class Console:
    """One run of the command line."""

    json: bool = False
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    started_in: Path | None = None
    """the folder that it works in, where that is not the one of the process"""
    cluster: str | None = None
    """what `--cluster` says"""
    on_silence: Callable[[str], None] | None = None
    """who shows that the server does not answer, where that is no line on standard error"""
    _waits: set[str] = field(default_factory=set)
    _place: ServerPlace | None = None
    _client: Client | None = None

    def __post_init__(self) -> None:
        self.paint = Paint.of(self.out, self.environ)

    @property
    def folder(self) -> Path:
        """The folder that it works in. FileNotFoundError where that was deleted."""
        return self.started_in or Path.cwd()

    @property
    def place(self) -> ServerPlace:
        """The server that is meant: by `--cluster`, by the experiment that a command is about, by the environment."""
        if self._place is None:
            self._place = place(self.environ, self.cluster, note=self.waits)
        return self._place

    @property
    def client(self) -> Client:
        """The server's client. Which server that is, is decided with the first request."""
        if self._client is None:
            self._client = Client.connect(lambda: self.place.resolve(), on_wait=self._wait)
        return self._client

    @property
    def whereabouts(self) -> ExperimentIndex:
        """Which experiments were started where."""
        return ExperimentIndex(state_folder(self.environ))

    def remember(self, status: documents.Status, folder: str) -> None:
        """Remember where this experiment runs, which was started from `folder`."""
        if self.place.cluster is not None:
            self.whereabouts.add(StartedExperiment(status["handle"], status["id"], self.place.cluster.name, folder))
        younger = changed(state_folder(self.environ)) if self.place.embedded else ""
        if younger:
            self.note(f"the server began before {younger} was changed: {REMEDY}")

    def compare_versions(self) -> None:
        """Say once where the server that was asked is of another release than this program."""
        theirs = self._client.transport.version if self._client is not None and not self.json else ""
        which = difference(theirs) if theirs else ""
        if which and not self.place.embedded:
            what = remedy(theirs, self.place.cluster)
            self.note(f"the server is {theirs}, {which} than this program ({__version__}): {what}")

    def close(self) -> None:
        """Drop the connection."""
        if self._client is not None:
            self._client.close()

    @property
    def live(self) -> bool:
        """Whether the output is a terminal on which lines can be painted again."""
        return not self.json and self.out.isatty() and self.environ.get("TERM", "dumb") != "dumb"

    @property
    def columns(self) -> int | None:
        """The width of the terminal; None where the output goes elsewhere, and nothing is cut."""
        return shutil.get_terminal_size().columns if self.out.isatty() else None

    def say(self, *lines: str) -> None:
        """Print lines, at once; on a terminal without control sequences but colours."""
        lines = tuple(map(displayed, lines)) if self.out.isatty() else lines
        self.out.write("".join(f"{line}\n" for line in lines))
        self.out.flush()

    def note(self, text: str) -> None:
        """A remark beside the result, on standard error."""
        self.err.write(f"{displayed(text) if self.err.isatty() else text}\n")
        self.err.flush()

    def waits(self, text: str) -> None:
        """Say once what keeps the server from answering; with `--json` standard error is that of the error alone."""
        if text not in self._waits and not self.json:
            self._waits.add(text)
            (self.on_silence or self.note)(text)

    def _wait(self, error: TemporaryError) -> None:
        self.waits(waits(error))

    def result(self, document: Any, *lines: str) -> int:
        """Print what came of it: the document where `--json` was said, else the lines. The exit code of success."""
        self.document(document) if self.json else self.say(*lines)
        return 0

    def document(self, value: Any) -> None:
        """Print a document of the `--json` contract."""
        self.say(self.in_json(value, indent=2))

    def lines(self, values: Iterable[Any]) -> None:
        """Print documents as JSON lines, each as soon as it is there."""
        for value in values:
            self.say(self.in_json(value))

    def in_json(self, value: Any, indent: int | None = None) -> str:
        """A document in characters that the output has."""
        return json.dumps(value, indent=indent, ensure_ascii=not self.paint.unicode)

    def fail(self, error: OrchestuneError) -> int:
        """Print the error, as a document where `--json` was said; its exit code."""
        if self.json:
            self.note(json.dumps(error.to_json(), ensure_ascii=not Paint.of(self.err).unicode))
            return error.exit_code
        paint = Paint.of(self.err, self.environ)
        message, hint = ("\n       ".join(map(one_line, text.split("\n"))) for text in (error.message, error.hint))
        self.note(paint("1;31", "error: ") + message)
        if hint:
            self.note(paint.dim("hint:  ") + hint)
        return error.exit_code

    def experiment(self, text: str | None) -> str:
        """The experiment that is meant: as written, or the newest of this folder."""
        ref, number = self.reference(text)
        if number is not None:
            raise UsageError(f"'{text}' names a trial, but this is about an experiment", f"leave out /{number}")
        return ref

    def trial(self, text: str | None) -> tuple[str, int]:
        """The trial that is meant: `EXP/N`, or `/N` of the newest experiment of this folder."""
        ref, number = self.reference(text)
        if number is None:
            here = f"/{text} is trial {text} of the newest experiment of this folder"
            hint = here if (text or "").isdecimal() else f"write it like {text or 'sgd-7f3a'}/12"
            raise UsageError(f"'{text}' names no trial", hint)
        return ref, number

    def reference(self, text: str | None) -> tuple[str, int | None]:
        """An experiment, or a trial of it."""
        if text == "":  # a variable of a script that is not set: what is meant is not the newest one
            raise UsageError("'' names no experiment", "leave it out for the newest one of this folder")
        try:
            ref, number = split_reference(text or "")
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        if not ref:
            return self.newest(), number
        if not self._chosen:
            self._go(self.whereabouts.cluster_of(ref))
        return ref, number

    def newest(self) -> str:
        """The handle of the newest experiment of this folder."""
        folder = folder_key(self.folder)
        known = [] if self._chosen else self.whereabouts.of_folder(folder)
        for cluster in dict.fromkeys([*(item.cluster for item in known), None]):
            if not self._chosen:
                self._go(cluster)
            found = self.client.experiments(folder=folder, limit=1)
            if found:
                return found[0]["handle"]
        others = "`orchestune run` starts one; `orchestune status` lists those of other folders"
        raise NotFound("no experiment was started in this folder", self._above() or others)

    def _above(self) -> str:
        """Which is the newest experiment of the nearest folder above this one that has any. It may not be meant."""
        for folder in self.folder.resolve().parents:
            if found := self.client.experiments(folder=folder_key(folder), limit=1):
                return f"name it: the newest one of {folder}, above this folder, is {found[0]['handle']}"
        return ""

    @property
    def _chosen(self) -> bool:
        """Whether the server was named, so that what is remembered does not count."""
        return bool(self.cluster or named_server(self.environ))

    def _go(self, cluster: str | None) -> None:
        """Turn to a cluster; None is the default one. What was archived of one that is no more is on this machine."""
        try:
            self._place = place(self.environ, cluster, note=self.waits)
        except NotFound:
            if cluster is None:
                raise
            self._place = place(self.environ, "local", note=self.waits)
        if self._client is not None:
            self._client.close()
