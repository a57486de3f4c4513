"""`import`: what is damaged holds up nothing else, and is named."""

from __future__ import annotations

import io
import json
import os
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs

from orchestune.archives import format, record
from orchestune.archives.archive_store import ArchiveStore
from orchestune.archives.copy_records import CopiedRecord
from orchestune.cli.clusters.archive import Archive, refuse_private_destination
from orchestune.cli.clusters.destroy import _finished
from orchestune.cli.clusters.shared import known_clusters
from orchestune.cli.inspect.archive import ConfirmedTarget, copy_all, import_
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.prompts import Declined
from orchestune.client.api import Client
from orchestune.client.clusters import ConnectedCluster
from orchestune.domain.lifecycle.states import ExperimentState, TrialState
from orchestune.errors import BadInput, Conflict, Denied, NotFound, OrchestuneError, Unreachable, UsageError
from orchestune.files.folder import FolderFiles
from tests.testbeds.disks import small_disk

HANDLES = ["a-1111", "b-2222", "c-3333"]


class Target(ArchiveStore):
    """Refuses one of them. It wrote all of them itself, but for those of `foreign`."""

    def __init__(self, folder: Path, refusal: OrchestuneError | None = None, foreign: Sequence[str] = ()) -> None:
        super().__init__(FolderFiles(folder))
        self.refusal = refusal
        self.foreign = foreign

    def wrote_record(self, digest: str, signature: str) -> bool:
        return digest not in self.foreign

    def put_record(self, path: Path, trust: str = "") -> CopiedRecord:
        if trust != "" and trust not in self.foreign:
            raise AssertionError(f"trusts {trust}")
        if self.refusal is not None and path.name.startswith(id_of("b-2222")):
            raise self.refusal
        return super().put_record(path)


class Typing(io.StringIO):
    """A terminal at which this was typed."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for handle in HANDLES:
        put(tmp_path / "archive", handle, [trial(number) for number in range(500)])
    return tmp_path / "archive"


def put(archive: Path, handle: str, items: Sequence[format.Item]) -> None:
    stream = io.BytesIO()
    record.write(stream, head(handle), items)
    stream.seek(0)
    FolderFiles(archive).put(f"experiments/{id_of(handle)}.jsonl.gz", stream)


def id_of(handle: str) -> str:
    return f"{ord(handle[0]):08x}-0000-4000-8000-000000000000"


def head(handle: str) -> format.Head:
    return format.Head("1.0", id_of(handle), handle, {}, 1)


def trial(number: int, parameters: str = "{}") -> format.TrialItem:
    values: dict[str, Any] = dict.fromkeys(format.TrialItem.__struct_fields__)
    values |= dict.fromkeys(("seed", "revision", "lost_attempts", "created_at"), 0)
    values |= dict.fromkeys(("reason", "checkpoint"), format.raw(None))
    values |= {"number": number, "state": TrialState.COMPLETED, "source": "engine", "is_isolated": False}
    return format.TrialItem(**{**values, "parameters": format.raw(parameters)})


def damage(archive: Path, handle: str) -> None:
    path = archive / "experiments" / f"{id_of(handle)}.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-100])


def take_in(archive: Path, target: Target, trust_unverified: bool = False) -> str:
    """Return the output of `import`."""
    out = io.StringIO()
    console = Console(out=out, err=io.StringIO(), environ={}, started_in=archive.parent)
    console._client = cast(Client, target)  # a shelf takes records as a server does
    import_(console, Namespace(place=str(archive), trust_unverified=trust_unverified))
    return out.getvalue()


def handles(target: Target) -> list[str]:
    return [record_entry.head.handle for record_entry in target.records()]


def test_damaged_records_and_stray_files_are_named_and_the_others_are_taken_in(archive: Path, tmp_path: Path) -> None:
    target = Target(tmp_path / "target")
    damage(archive, "a-1111")
    (archive / "experiments" / "stray.jsonl.gz").write_text("no gzip")
    (archive / "experiments" / "notes.txt").write_text("no record")
    with pytest.raises(OrchestuneError) as caught:
        take_in(archive, target)
    assert caught.value.exit_code == 1
    head, cut, stray = caught.value.message.splitlines()
    assert head == "2 of 4 experiments left out:"
    assert cut.startswith(f"experiments/{id_of('a-1111')}.jsonl.gz: a-1111: the record is damaged or incomplete: ")
    assert stray.startswith("experiments/stray.jsonl.gz: the record is damaged or incomplete: Not a gzipped file")
    assert handles(target) == ["b-2222", "c-3333"]


def test_one_that_the_server_does_not_take_holds_up_no_other(archive: Path, tmp_path: Path) -> None:
    target = Target(tmp_path / "target", Conflict("it went on here", "remove it first"))
    with pytest.raises(OrchestuneError, match="1 of 3 experiments left out:\nb-2222: it went on here; remove it first"):
        take_in(archive, target)
    assert handles(target) == ["a-1111", "c-3333"]


@pytest.mark.parametrize("refusal", [Unreachable("away"), Denied("not you")])
def test_nothing_more_is_tried_where_all_would_be_refused(
    archive: Path, tmp_path: Path, refusal: OrchestuneError
) -> None:
    target = Target(tmp_path / "target", refusal)
    with pytest.raises(type(refusal)):
        take_in(archive, target)
    assert handles(target) == ["a-1111"]


def test_a_full_folder_for_temporary_files_is_named_and_no_matter_of_one_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = trial(0, json.dumps({"noise": os.urandom(2 << 20).hex()}))
    put(tmp_path / "archive", "a-1111", [large])
    with small_disk(tmp_path / "disk", 1) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(UsageError, match=f"cannot write to {disk}: No space left on device"):
            take_in(tmp_path / "archive", Target(tmp_path / "target"))
        assert not list(disk.iterdir())


def test_what_another_server_wrote_is_shown_and_not_imported_unasked(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values: dict[str, Any] = dict.fromkeys(format.ExperimentItem.__struct_fields__, 0)
    values |= dict.fromkeys(("ended_by", "bundle", "rerun_of", "identical_digest"))
    values |= dict.fromkeys(("reason", "best_by_fold"), format.raw(None))
    values |= dict.fromkeys(("cluster", "folder"), "")
    values |= dict.fromkeys(("launch", "labels"), format.raw("{}"))
    values |= {"waived_guards": format.raw("[]"), "is_exhausted": False}
    values |= {"id": id_of("d-4444"), "handle": "d-4444", "name": "x\x1b[2J", "owner": "ada"}
    values |= {"state": ExperimentState.COMPLETED, "specification": format.raw('{"run": "id > \\u001b[2J"}')}
    own = format.ExperimentItem(**values)
    stream = io.BytesIO()
    record.write(stream, head("d-4444"), [own])
    stream.seek(0)
    digest = record.verify(stream).digest
    stream.seek(0)
    FolderFiles(archive).put(f"experiments/{id_of('d-4444')}.jsonl.gz", stream)
    target = Target(tmp_path / "target", foreign=[digest])
    with pytest.raises(UsageError, match="whether to import 1 unverified experiment") as caught:
        take_in(archive, target)
    assert "--trust-unverified" in caught.value.hint
    for typed, expected in (("n\n", []), ("y\n", [*HANDLES, "d-4444"])):
        monkeypatch.setattr("sys.stdin", Typing(typed))
        with suppress(Declined):
            take_in(archive, target)
        assert handles(target) == expected
    assert "\x1b" not in capsys.readouterr().err
    assert take_in(archive, Target(tmp_path / "other", foreign=[digest]), trust_unverified=True).count("copied") == 4


def test_a_record_that_was_exchanged_after_the_question_is_not_trusted(tmp_path: Path) -> None:
    put(tmp_path / "archive", "a-1111", [])
    trusted: list[str] = []

    class Server(Target):
        def put_record(self, path: Path, trust: str = "") -> CopiedRecord:
            trusted.append(trust)
            return super().put_record(path)

    server = Server(tmp_path / "target")
    ConfirmedTarget(cast(Client, server), {"0" * 64}).put_record(
        tmp_path / "archive" / "experiments" / f"{id_of('a-1111')}.jsonl.gz"
    )
    assert trusted == [""]


def test_the_folder_of_an_archive_writes_nothing_beside_the_scratch_folder(tmp_path: Path) -> None:
    """Digests and ids of a record are names of files at the client before the server sees them."""
    stream = io.BytesIO()
    record.write(stream, structs.replace(head("a-1111"), files={f"../../{tmp_path.name}/x": 1}), [])
    stream.seek(0)
    FolderFiles(tmp_path / "archive").put(f"experiments/{id_of('a-1111')}.jsonl.gz", stream)
    with pytest.raises(OrchestuneError, match="line 1 does not fit the format"):
        take_in(tmp_path / "archive", Target(tmp_path / "target"))


def test_a_whole_archive_is_taken_in(archive: Path, tmp_path: Path) -> None:
    target = Target(tmp_path / "target")
    assert take_in(archive, target).splitlines() == [f"{handle}  copied, 500 trials" for handle in HANDLES]
    assert handles(target) == HANDLES


def test_where_others_rely_on_all_of_them_the_first_error_ends_it(archive: Path, tmp_path: Path) -> None:
    target = Target(tmp_path / "target", NotFound("a blob is not here"))
    console = Console(out=io.StringIO(), err=io.StringIO(), environ={}, started_in=tmp_path)
    with pytest.raises(NotFound):
        copy_all(console, ArchiveStore(FolderFiles(archive)), target, [(id_of(handle), handle) for handle in HANDLES])
    damage(archive, "a-1111")
    with pytest.raises(BadInput, match=rf"experiments/{id_of('a-1111')}\.jsonl\.gz: a-1111: the record is damaged"):
        list(ArchiveStore(FolderFiles(archive)).records())


@pytest.mark.parametrize(
    ("owners", "to", "has_colleagues"),
    [(["ada", "ada"], None, False), (["bob", "ada"], "local", True), ([], None, False)],
)
def test_who_destroys_a_cluster_of_several_users_says_where_their_results_go(
    owners: list[str], to: str | None, has_colleagues: bool
) -> None:
    cluster_archive = cast(Archive, Namespace(experiments=lambda: [{"owner": owner} for owner in owners]))
    assert refuse_private_destination(cluster_archive, "lab", to) is has_colleagues
    if has_colleagues:
        with pytest.raises(UsageError, match="'lab' has experiments of 2 users: ada, bob") as caught:
            refuse_private_destination(cluster_archive, "lab", None)
        assert "--to s3://BUCKET/PREFIX" in caught.value.hint


@pytest.mark.parametrize(("remaining", "code"), [([], 0), (["Namespace ml is being deleted: 1 pod is left"], 1)])
def test_a_cluster_that_is_not_gone_is_named_stays_registered_and_fails_the_command(
    tmp_path: Path, remaining: list[str], code: int
) -> None:
    out = io.StringIO()
    console = Console(out=out, err=io.StringIO(), environ={"ORCHESTUNE_HOME": str(tmp_path)})
    cluster = ConnectedCluster("lab", "kubernetes", namespace="ml")
    known_clusters(console).add(cluster)
    assert _finished(console, cluster, ["Deployment orchestune-server"], remaining) == code
    assert (known_clusters(console).find("lab") is not None) == bool(remaining)
    assert all(each in out.getvalue() for each in remaining)
