"""Context of a command: its streams, environment and server, and the experiment that it refers to."""

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
from orchestune.cli.terminal.silence import retry_message
from orchestune.client.address import ServerPlace, named_server, place
from orchestune.client.connection.versions import difference, remedy
from orchestune.client.local.experiment_index import ExperimentIndex, StartedExperiment
from orchestune.client.local.home import state_folder
from orchestune.client.local.launch_context import folder_key
from orchestune.client.local.outdated import REMEDY, changed
from orchestune.domain.lifecycle.ids import split_reference
from orchestune.errors import NotFound, OrchestuneError, TemporaryError, UsageError

if TYPE_CHECKING:
    from orchestune import documents
    from orchestune.client.api import Client


_CANDIDATES = 20
"""newest experiments of a folder of which one with a proven owner takes precedence over claims of this user's name"""


@dataclass
class Console:
    """Context of one run of the command line."""

    json: bool = False
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    started_in: Path | None = None
    """working directory, if it differs from that of the process"""
    cluster: str | None = None
    """value of `--cluster`"""
    on_silence: Callable[[str], None] | None = None
    """shows that the server does not answer, instead of a line on standard error"""
    _noted_waits: set[str] = field(default_factory=set)
    _place: ServerPlace | None = None
    _client: Client | None = None

    def __post_init__(self) -> None:
        self.paint = Paint.of(self.out, self.environ)

    @property
    def folder(self) -> Path:
        """The working directory. Raises FileNotFoundError if it was deleted."""
        return self.started_in or Path.cwd()

    @property
    def place(self) -> ServerPlace:
        """The server of this command: from `--cluster`, the experiment that it refers to, or the environment."""
        if self._place is None:
            self._place = place(self.environ, self.cluster, note=self.note_wait)
        return self._place

    @property
    def client(self) -> Client:
        """The client of that server. The server is chosen at the first request."""
        if self._client is None:
            from orchestune.client.api import Client  # http.client is slow to import, and a plan is printed without it

            self._client = Client.connect(lambda: self.place.resolve(), on_wait=self._wait)
        return self._client

    @property
    def experiment_index(self) -> ExperimentIndex:
        """The index of experiments started on this machine."""
        return ExperimentIndex(state_folder(self.environ))

    def remember(self, status: documents.Status, folder: str, inputs: str) -> None:
        """Add an experiment to the index; warn if the code is newer than the server.

        `folder` is the key of its folder, `inputs` the digest of what it reads on this machine.
        """
        if self.place.cluster is not None:
            self.experiment_index.add(
                StartedExperiment(status["handle"], status["id"], self.place.cluster.name, folder, inputs)
            )
        changed_module = changed(state_folder(self.environ)) if self.place.embedded else ""
        if changed_module:
            self.note(f"the server was started before {changed_module} was changed: {REMEDY}")

    def started_here(self, status: documents.Status) -> StartedExperiment | None:
        """Return the entry of the index if the experiment was started from this state folder, on this cluster."""
        cluster = self.place.cluster
        return self.experiment_index.started(status["id"], cluster.name) if cluster is not None else None

    def compare_versions(self) -> None:
        """Print a note if the server's version differs from this program's."""
        server_version = self._client.transport.version if self._client is not None and not self.json else ""
        relation = difference(server_version) if server_version else ""
        if relation and not self.place.embedded:
            hint = remedy(server_version, self.place.cluster)
            self.note(f"the server is {server_version}, {relation} than this program ({__version__}): {hint}")

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    @property
    def live(self) -> bool:
        """True if the output is a terminal that can be repainted."""
        return not self.json and self.out.isatty() and self.environ.get("TERM", "dumb") != "dumb"

    @property
    def columns(self) -> int | None:
        """Width of the terminal; None if the output is not a terminal, where nothing is cut."""
        return shutil.get_terminal_size().columns if self.out.isatty() else None

    def say(self, *lines: str) -> None:
        """Print lines and flush; on a terminal without control sequences other than colours."""
        lines = tuple(map(displayed, lines)) if self.out.isatty() else lines
        self.out.write("".join(f"{line}\n" for line in lines))
        self.out.flush()

    def note(self, text: str) -> None:
        """Print a note on standard error."""
        self.err.write(f"{displayed(text) if self.err.isatty() else text}\n")
        self.err.flush()

    def note_wait(self, text: str) -> None:
        """Print once why the server does not answer; not with `--json`, where standard error is only for the error."""
        if text not in self._noted_waits and not self.json:
            self._noted_waits.add(text)
            (self.on_silence or self.note)(text)

    def _wait(self, error: TemporaryError) -> None:
        self.note_wait(retry_message(error))

    def result(self, document: Any, *lines: str) -> int:
        """Print the result of a command, as a document with `--json`, else as lines. Returns exit code 0."""
        self.document(document) if self.json else self.say(*lines)
        return 0

    def document(self, value: Any) -> None:
        """Print a JSON document (`--json`)."""
        self.say(self.in_json(value, indent=2))

    def lines(self, values: Iterable[Any]) -> None:
        """Print documents as JSON lines, each as soon as it is available."""
        for value in values:
            self.say(self.in_json(value))

    def in_json(self, value: Any, indent: int | None = None) -> str:
        """Serialize to JSON; characters that the output's encoding lacks are escaped."""
        return json.dumps(value, indent=indent, ensure_ascii=not self.paint.unicode)

    def fail(self, error: OrchestuneError) -> int:
        """Print the error, as a document with `--json`; return its exit code."""
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
        """Return the experiment that an argument refers to; None is the newest of this folder."""
        ref, number = self.reference(text)
        if number is not None:
            raise UsageError(f"'{text}' is a trial (expected an experiment)", f"remove /{number}")
        return ref

    def trial(self, text: str | None) -> tuple[str, int]:
        """Return the trial that an argument refers to: `EXP/N`, or `/N` of the newest experiment of this folder."""
        ref, number = self.reference(text)
        if number is None:
            suggestion = f"/{text} is trial {text} of the newest experiment of this folder"
            hint = suggestion if (text or "").isdecimal() else f"write it like {text or 'sgd-7f3a'}/12"
            raise UsageError(f"'{text}' is not a trial (expected EXP/N)", hint)
        return ref, number

    def reference(self, text: str | None) -> tuple[str, int | None]:
        """Parse a reference to an experiment or to one of its trials."""
        if text == "":  # an unset variable of a script must not select the newest experiment
            raise UsageError(
                "empty experiment name ''", "omit the argument to use the newest experiment of this folder"
            )
        try:
            ref, number = split_reference(text or "")
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        if not ref:
            return self.newest(), number
        if not self._is_server_named:
            self._switch_to(self.experiment_index.cluster_of(ref))
        return ref, number

    def newest(self) -> str:
        """Return the handle of this user's newest experiment of this folder.

        Any user of a server can create an experiment with the key of this folder. Those of others do not count.
        """
        folder = folder_key(self.folder)
        started = [] if self._is_server_named else self.experiment_index.of_folder(folder)
        for cluster in dict.fromkeys([*(item.cluster for item in started), None]):
            if not self._is_server_named:
                self._switch_to(cluster)
            newest = self.client.experiments(folder=folder, limit=_CANDIDATES, mine=True)
            proven = (each for each in newest if each.get("owner_authenticated") or self.started_here(each))
            if newest:
                return next(proven, newest[0])["handle"]
        hint = "`orchestune run` starts one; `orchestune status` lists those of other folders"
        raise NotFound("no experiment was started in this folder", self._parent_folder_hint() or hint)

    def _parent_folder_hint(self) -> str:
        """Build a hint with the newest experiment of the nearest parent folder that has one.

        That experiment is never used implicitly.
        """
        for folder in self.folder.resolve().parents:
            if newest := self.client.experiments(folder=folder_key(folder), limit=1, mine=True):
                return f"name it: the newest experiment of the parent folder {folder} is {newest[0]['handle']}"
        return ""

    @property
    def _is_server_named(self) -> bool:
        """True if the user named a server, so that the index is not used."""
        return bool(self.cluster or named_server(self.environ))

    def _switch_to(self, cluster: str | None) -> None:
        """Switch to a cluster; None is the default one. Archives of a removed cluster are on this machine."""
        try:
            self._place = place(self.environ, cluster, note=self.note_wait)
        except NotFound:
            if cluster is None:
                raise
            self._place = place(self.environ, "local", note=self.note_wait)
        if self._client is not None:
            self._client.close()
