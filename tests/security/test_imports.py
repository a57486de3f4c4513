"""Attacks by records of experiments: what an import refuses, and that nothing of an imported experiment runs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from orchestune.archives import format, record
from orchestune.archives.archive_store import ArchiveStore
from orchestune.archives.copy_records import CopiedRecord
from orchestune.errors import BadInput, OrchestuneError, Unverified, UsageError
from orchestune.files.folder import FolderFiles
from orchestune.services.commands import change_experiment, import_record
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.execution import points, uploads
from orchestune.services.queries import export_record
from orchestune.store.tables import metadata
from tests.contract.world import CoreWorld
from tests.unit.server.harness import Live, Reply, live

Item = dict[str, Any]
OWNER = "secret-token"
FOREIGN_ID = "0188c0de-0000-7000-8000-000000000000"
CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Archived:
    """The record of a finished experiment that this server has no longer, beside a running one: the victim."""

    world: CoreWorld
    head: format.Head
    items: list[Item]
    signed: bytes
    victim: str
    victim_attempt: str

    def of(self, kind: str) -> list[Item]:
        return [item for item in self.items if item["type"] == kind]

    def first(self, kind: str) -> Item:
        return self.of(kind)[0]

    def written(self, **head: object) -> io.BytesIO:
        """The record as an attacker writes it: without a signature of this server. `head`: other fields of the head."""
        first = json.loads(format.encode(self.head)) | head
        deep = b"[" * 100_000 + b"]" * 100_000
        lines = [
            json.dumps(line).encode().replace(b'"%s"' % DEEP.encode(), deep) + b"\n" for line in (first, *self.items)
        ]
        end = {
            "type": "end",
            "counts": Counter(str(item["type"]) for item in self.items),
            "sha256": hashlib.sha256(b"".join(lines)).hexdigest(),
        }
        return io.BytesIO(gzip.compress(b"".join([*lines, json.dumps(end).encode() + b"\n"])))

    def imported(self, stream: io.BytesIO | None = None) -> CopiedRecord:
        """Import it as a user does who has confirmed it."""
        stream = stream or self.written()
        digest = record.verify(stream).digest
        stream.seek(0)
        return import_record.read(self.world.core, stream, digest)

    def state(self) -> dict[str, list[str]]:
        """Every row of the store and every file, but for the time at which blobs were used last."""
        core = self.world.core
        with core.store.reading() as session:
            tables = {
                table.name: sorted(
                    str({name: cell for name, cell in row.items() if (table.name, name) != AGE})
                    for row in session.connection.execute(select(table)).mappings()
                )
                for table in metadata.sorted_tables
            }
        return tables | {"files": sorted(core.files.keys(""))}


AGE = ("blobs", "created_at")


def archived_in(world: CoreWorld) -> Archived:
    experiment = world.create(budget=2, parallelism=1)
    [(worker, lease)] = world.lease()
    uploads.append(world.core, worker.id, DIGEST, 0, CONTENT)
    who = {"attempt": lease["attempt"], "token": lease["token"]}
    worker.keep_artifacts({**who, "files": [{"path": "model", "digest": DIGEST, "size": 7}]})
    worker.checkpoint({**who, "digest": DIGEST, "size": 7, "step": 1})
    curve = [[place, "loss", 0.5, float(place), None] for place in range(3)]
    worker.call(finished=[worker.finish(lease, points=curve)])
    world.run(experiment)
    stream = io.BytesIO()
    export_record.write(world.core, experiment, stream)
    change_experiment.delete(world.core, experiment, True, "ada")
    world.tick(4)
    victim = world.create(budget=1, parallelism=1)
    [(_, victim_lease)] = world.lease()
    stream.seek(0)
    head = record.verify(stream).head
    stream.seek(0)
    items = [json.loads(format.encode(item)) for item in record.items(stream)]
    return Archived(world, head, items, stream.getvalue(), victim, victim_lease["attempt"])


@pytest.fixture
def archived(world: CoreWorld) -> Archived:
    return archived_in(world)


@pytest.fixture(scope="module")
def of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archived]:
    """A world that all tests of this file may share which leave it as it was."""
    world = CoreWorld(tmp_path_factory.mktemp("world"))
    yield archived_in(world)
    world.close()


@pytest.fixture
def untouched(of_all: Archived) -> Archived:
    return replace(of_all, items=deepcopy(of_all.items))


def workers_of(world: CoreWorld, experiment: str) -> list[str]:
    """The workers that were ever started for an experiment, before it was exported too."""
    return [order.worker for order in world.backend.orders.values() if order.experiment == experiment]


def nothing_runs(world: CoreWorld, experiment: str) -> None:
    """Assert that an imported experiment is over and stays so unless a user resumes or extends it."""
    change_experiment.change_experiment(world.core, experiment, Changes(labels={"seen": "yes"}, priority=3), "bob")
    change_experiment.drop_files(world.core, experiment)
    for _ in range(5):
        world.clock.pass_time(60.0)
        world.tick()
    status = world.status(experiment)
    assert status["state"] in ("completed", "failed", "stopped")
    assert status["desired"] == "stopped"
    assert len(workers_of(world, experiment)) == 1, "the one that it had before"
    with world.core.store.reading() as session:
        for table in ("notifications", "tracking_runs"):
            assert not session.select(select(metadata.tables[table].c.experiment), str)


def specification(item: Item, **changes: Any) -> None:
    """Change keys of the specification in an item."""
    item["specification"] |= changes


def test_what_an_experiment_wants_is_not_done(archived: Archived) -> None:
    """The attack of the audit: another command, and a record that says that more of it is to run."""
    own = archived.first("experiment")
    own |= {"ended_by": None, "reason": None, "budget": 1000}
    specification(own, run="id > /tmp/owned", budget=1000)
    archived.first("fold")["state"] = "pending"
    handle = archived.imported()["experiment"]
    nothing_runs(archived.world, handle)
    assert archived.world.status(handle)["counts"] == {
        "queued": 0, "running": 0, "completed": 2, "failed": 0, "pruned": 0, "cancelled": 0,
    }  # fmt: skip


def test_an_owner_in_a_record_is_a_claim(archived: Archived) -> None:
    archived.first("experiment")["owner"] = "ada"
    experiment = archived.imported()["experiment"]
    assert archived.world.status(experiment)["owner"] == "ada (imported)"


def test_the_record_of_this_server_is_imported_without_a_question_and_is_stopped(archived: Archived) -> None:
    answer = import_record.read(archived.world.core, io.BytesIO(archived.signed))
    assert answer["imported"]
    assert archived.world.status(answer["experiment"])["owner"] == "ada"
    nothing_runs(archived.world, answer["experiment"])


def test_attempts_that_resumed_from_each_other_are_followed_once(archived: Archived) -> None:
    one, two = archived.of("attempt")[:2]
    for attempt, origin in ((one, two), (two, one)):
        attempt["resumed_from"] = {"attempt": origin["id"], "step": 1}
    archived.imported()
    with archived.world.core.store.reading() as session:
        assert len(points.last_curves(session, archived.head.experiment, one["id"], "loss", 100)) == 2


def set_cell(table: str, **cells: Any) -> Callable[[Archived], None]:
    return lambda archived: archived.first(table).update(cells)


def change_specification(table: str, **changes: Any) -> Callable[[Archived], None]:
    return lambda archived: specification(archived.first(table), **changes)


def foreign_attempt(table: str, name: str) -> Callable[[Archived], None]:
    """Let rows of `table` name the attempt of the victim."""

    def change(archived: Archived) -> None:
        archived.first(table)[name] = archived.victim_attempt

    return change


def twice(table: str) -> Callable[[Archived], None]:
    def change(archived: Archived) -> None:
        place = archived.items.index(archived.first(table))
        archived.items.insert(place, dict(archived.items[place]))

    return change


def drop_column(table: str, name: str) -> Callable[[Archived], None]:
    def change(archived: Archived) -> None:
        for row in archived.of(table):
            del row[name]

    return change


def add_first(table: str) -> Callable[[Archived], None]:
    return lambda archived: archived.items.insert(0, {"type": table})


CHECKPOINT = {"attempt": FOREIGN_ID, "digest": "../../x", "step": 1}
DEEP = "100,000 lists, one in the other"
FORGERIES: dict[str, Callable[[Archived], object]] = {
    "experiment that runs": set_cell("experiment", state="running", finished_at=None),
    "experiment in an unknown state": set_cell("experiment", state="flying"),
    "trial that waits": set_cell("trial", state="queued"),
    "attempt that runs": set_cell("attempt", state="running"),
    "unknown state of a task": set_cell("fold", state="flying"),
    "what it wants": set_cell("experiment", desired="running"),
    "unknown reason": set_cell("trial", reason={"code": "x", "message": ""}),
    "ended for no known reason": set_cell("experiment", ended_by="x"),
    "parameters outside of the space": set_cell("trial", parameters={"x": 7.0}),
    "parameters of another experiment": set_cell("trial", parameters={"y": 0.5}),
    "parameters that are objects": set_cell("trial", parameters={"x": {"a": 1}}),
    "parameters that are a list": set_cell("trial", parameters=[]),
    "parameters that are text": set_cell("trial", parameters="{"),
    "parameters that are null": set_cell("trial", parameters=None),
    "deep JSON in a cell": set_cell("event", data={"a": DEEP}),
    "many objects in a cell": set_cell("attempt", gpus=[{}] * 300_000),
    "specification without a command": change_specification("experiment", run=None),
    "specification that is text": set_cell("experiment", specification="run"),
    "specification of a revision with no metric": change_specification("revision", metrics=[]),
    "huge number in a specification": change_specification("experiment", budget=10**400),
    "deep specification": set_cell("experiment", specification={"run": DEEP}),
    "environment of odd types": set_cell("experiment", launch={"env": {"PATH": ["x"]}}),
    "labels of odd types": set_cell("experiment", labels={"a": {"b": 1}}),
    "artifact above its folder": set_cell("artifact", path="../../x"),
    "artifact with no name": set_cell("artifact", path=""),
    "artifact at an absolute path": set_cell("artifact", path="/etc/passwd"),
    "artifact with an odd digest": set_cell("artifact", digest="../../../etc/passwd"),
    "checkpoint with an odd digest": set_cell("fold", checkpoint=CHECKPOINT),
    "bundle with an odd digest": set_cell("experiment", bundle="../../../etc/passwd"),
    "attempt of another experiment": foreign_attempt("attempt", "id"),
    "points for an attempt of another experiment": foreign_attempt("point", "attempt"),
    "log for an attempt of another experiment": foreign_attempt("log", "attempt"),
    "artifact of an attempt of another experiment": foreign_attempt("artifact", "attempt"),
    "trial of another experiment": set_cell("trial", experiment=FOREIGN_ID),
    "experiment with another id": set_cell("experiment", id=FOREIGN_ID),
    "experiment with another handle": set_cell("experiment", handle="sgd-7f3a"),
    "task of no trial": set_cell("fold", trial=77),
    "metric of no trial": set_cell("metric", trial=77),
    "trial of no revision": set_cell("trial", revision=77),
    "trial beyond the counter": set_cell("trial", number=77),
    "event beyond the counter": set_cell("event", number=10**6),
    "log beyond the counter": set_cell("log", number=10**6),
    "fold that there is none of": set_cell("fold", fold=5),
    "best trial that there is none of": set_cell("experiment", best_trial=77),
    "budget beyond all bounds": set_cell("experiment", budget=2**31 - 1),
    "priority beyond all bounds": set_cell("experiment", priority=5000),
    "number beyond 64 bits": set_cell("attempt", peak_memory=2**70),
    "negative count": set_cell("attempt", points=-1),
    "number that is text": set_cell("trial", seed="7"),
    "number that is true": set_cell("trial", lost_attempts=True),
    "infinite value": set_cell("metric", value=1e400),
    "value that is no number": set_cell("point", value=float("nan")),
    "time beyond the calendar": set_cell("experiment", created_at=1e300),
    "text that is null": set_cell("experiment", name=None),
    "text that is too long": set_cell("worker", name="x" * 100),
    "half a character": set_cell("experiment", folder="\ud800"),
    "log that is no base64": set_cell("log", data="%%%"),
    "unknown column": set_cell("trial", run="id"),
    "proof of an owner": set_cell("experiment", principal="token:ada"),
    "quoted column": set_cell("trial", **{'x" = 1; --': "id"}),
    "missing column": drop_column("trial", "seed"),
    "field that only some have": lambda archived: archived.of("trial")[1].pop("seed"),
    "unknown table": add_first("credential"),
    "row before its experiment": add_first("event"),
    "two experiments": twice("experiment"),
    "trial twice": twice("trial"),
    "metric twice": twice("metric"),
    "no experiment": lambda archived: archived.items.clear(),
}


@pytest.mark.parametrize("attack", FORGERIES)
def test_a_forged_record_is_refused_and_leaves_nothing(untouched: Archived, attack: str) -> None:
    before = untouched.state()
    FORGERIES[attack](untouched)
    with pytest.raises(UsageError) as caught:
        untouched.imported()
    assert caught.value.status == 400
    assert "checksum" not in caught.value.message
    assert untouched.state() == before


@pytest.fixture
def on_postgres(tmp_path: Path, postgres_database: str) -> Iterator[Archived]:
    world = CoreWorld(tmp_path, postgres_database)
    yield archived_in(world)
    world.close()


@pytest.mark.parametrize(
    "attack", ["attempt of another experiment", "metric of no trial", "trial twice", "best trial that there is none of"]
)
def test_postgresql_keeps_nothing_of_a_record_that_it_refuses(on_postgres: Archived, attack: str) -> None:
    before = on_postgres.state()
    FORGERIES[attack](on_postgres)
    with pytest.raises(BadInput):
        on_postgres.imported()
    assert on_postgres.state() == before


@pytest.mark.parametrize("table", ["attempts", "workers"])
def test_a_record_that_continues_an_experiment_does_not_touch_another_one(archived: Archived, table: str) -> None:
    """Rows that differ replace those with their ids; ids of another experiment are none of them."""
    archived.imported()
    rows = archived.state()[table]
    [victim] = [row for row in rows if archived.victim in row]
    identity = archived.victim_attempt
    if table == "workers":
        [identity] = [worker for worker in archived.world.backend.orders if worker in victim]
    last, number = archived.of("event")[-1], archived.head.events + 1
    newer = last | {"number": number, "kind": "experiment_changed"}
    archived.items.insert(archived.items.index(last) + 1, newer)
    archived.first("experiment").update(last_event=number)
    archived.first(table.removesuffix("s"))["id"] = identity
    stream = archived.written(events=number)
    try:
        archived.imported(stream)
    except UsageError:
        assert table == "attempts"
    assert victim in archived.state()[table]


@pytest.mark.parametrize(
    "head",
    [
        {"files": {"../../../../tmp/x": 1}},
        {"files": {DIGEST: -1}},
        {"files": [DIGEST]},
        {"experiment": "../../x"},
        {"experiment": 7},
        {"handle": "\x1b[2J"},
        {"software": ["0.1"]},
        {"events": "3"},
        {"format": "other"},
        {"version": "1"},
        {"schema": "0026"},
    ],
)
def test_a_forged_head_is_refused(untouched: Archived, head: dict[str, Any]) -> None:
    """Ids and digests become names of files where a record is copied, at the client too."""
    before = untouched.state()
    with pytest.raises(BadInput):
        untouched.imported(untouched.written(**head))
    assert untouched.state() == before


EVENT = {"type": "event", "number": 1, "at": 1.0, "actor": "ada", "kind": "experiment_created", "data": {}}
LINE = json.dumps(EVENT).encode() + b"\n"
HEAD = format.encode(format.Head("0.1", FOREIGN_ID, "a", {}, 1))


def test_a_newer_format_asks_for_an_upgrade(untouched: Archived) -> None:
    with pytest.raises(UsageError, match="version 2 of its format") as caught:
        untouched.imported(untouched.written(version=2))
    assert "upgrade" in caught.value.hint


END = b'{"type":"end","counts":%s,"sha256":%s}\n'
DAMAGED = {
    "nothing": b"",
    "no gzip": b"no record",
    "no JSON": gzip.compress(HEAD + b"[\n"),
    "no UTF-8": gzip.compress(HEAD + LINE.replace(b"ada", b"\xff\xfe")),
    "no head": gzip.compress(LINE),
    "head of a list": gzip.compress(b"[]\n"),
    "no end": gzip.compress(HEAD + LINE),
    "no fields": gzip.compress(HEAD + b'{"type":"event"}\n'),
    "a list": gzip.compress(HEAD + b'["event",[]]\n'),
    "a word": gzip.compress(HEAD + b'"event"\n'),
    "a number of 10,000 digits": gzip.compress(HEAD + LINE.replace(b"1.0", b"9" * 10_000)),
    "deep lists": gzip.compress(HEAD + b"[" * 10**6 + b"\n"),
    "deep objects": gzip.compress(HEAD + b'{"a":' * 10**6 + b"\n"),
    "quotes without an end": gzip.compress(HEAD + b'{"type":"\\"' + b'\\"' * 10**6 + b"\n"),
    "wrong checksum": gzip.compress(HEAD + LINE + END % (b'{"event":1}', b'"' + b"0" * 64 + b'"')),
    "odd end": gzip.compress(HEAD + LINE + END % (b"[]", b"{}")),
}


@pytest.fixture
def server(archived: Archived) -> Iterator[Live]:
    with live(archived.world.core) as running:
        yield running


def post(server: Live, path: str, body: Any, token: str = OWNER) -> Reply:
    return server.ask("POST", f"/api/v1/{path}", body, token=token)


def test_damaged_records_are_bad_requests(archived: Archived, server: Live) -> None:
    before = archived.state()
    whole = archived.signed
    cut = {f"cut off after {length} bytes": whole[:length] for length in (1, 9, 15, len(whole) // 2, len(whole) - 1)}
    for name, content in (DAMAGED | cut).items():
        answer = post(server, "archive", content)
        assert (answer.status, answer.json()["error"]["code"]) == (400, "bad_input"), name
    assert archived.state() == before


def test_a_record_of_another_server_is_shown_before_anything_of_it_is_imported(
    archived: Archived, server: Live
) -> None:
    specification(archived.first("revision"), run="id > \x1b[31mhidden")
    archived.first("revision")["launch"] = {"env": {}, "root": "/home/ada/.ssh", "links": ["id_rsa"]}
    forged, before = archived.written().getvalue(), archived.state()
    refusals = [post(server, f"archive{query}", forged) for query in ("", "?trust=yes", f"?trust={DIGEST}")]
    assert archived.state() == before
    for refusal in refusals:
        error = refusal.json()["error"]
        assert (refusal.status, error["code"]) == (409, "unverified")
        assert error["contents"]["commands"] == ["echo loss={x}", "id >  [31mhidden"]
        assert error["contents"]["trials"] == {"completed": 2}
        assert error["contents"]["links"] == ["/home/ada/.ssh/id_rsa"], "Docker mounts it, if that is resumed"
    answer = post(server, f"archive?trust={error['contents']['digest']}", forged)
    assert (answer.status, answer.json()["imported"]) == (200, True)


def test_a_signature_is_of_one_record_alone(archived: Archived, server: Live) -> None:
    signed = record.verify(io.BytesIO(archived.signed))
    request_body = {"digest": signed.digest, "signature": signed.signature}
    assert post(server, "archive/signature", request_body).json() == {"verified": True}
    assert post(server, "archive/signature", request_body | {"digest": DIGEST}).json() == {"verified": False}
    assert post(server, "archive/signature", {"digest": DIGEST}).json() == {"verified": False}
    archived.first("experiment")["name"] = "other"
    specification(archived.first("experiment"), name="other")
    lines = gzip.decompress(archived.written().getvalue()).splitlines(keepends=True)
    lines[-1] = json.dumps(json.loads(lines[-1]) | {"signature": signed.signature}).encode() + b"\n"
    with pytest.raises(Unverified):
        import_record.read(archived.world.core, io.BytesIO(gzip.compress(b"".join(lines))))


def test_only_owners_import(archived: Archived, server: Live) -> None:
    for role in ("viewer", "editor"):
        token = post(server, "tokens", {"name": role, "role": role}).json()["token"]
        for path in ("archive", "archive/signature"):
            assert post(server, path, archived.signed, token).status == 403


BOMBS = {
    "a line without an end": "bomb = member(HEAD) + member(b'a' * 2**25) * 64",
    "an event of many values": "bomb = items(1, LINE.replace(b'{}', b'{\"a\":[' + b'{},' * 2**22 + b'{}]}'))",
    "an event of many fields": "bomb = member(HEAD + LINE[:-2] + b',\"a\":1' * 2**22 + b'}')",
    "a head of many fields": "bomb = member(HEAD[:-2] + b',\"a\":1' * 2**22 + b'}')",
    "many long events": "bomb = items(30, LINE.replace(b'{}', b'{\"a\":\"' + b'a' * 2**23 + b'\"}'))",
}
MEASURE = """
import gzip, hashlib, io, json, resource, sys
from orchestune.archives import format, record
from orchestune.errors import BadInput
HEAD, LINE = {head!r}, {line!r}
member = lambda content: gzip.compress(content, 1)
def items(count, line):
    digest = hashlib.sha256(HEAD)
    for _ in range(count):
        digest.update(line)
    end = json.dumps(dict(type="end", counts=dict(event=count), sha256=digest.hexdigest())).encode()
    return member(HEAD) + member(line) * count + member(end)
{make}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    record.verify(io.BytesIO(bomb))
    for _ in record.batches(io.BytesIO(bomb)):
        pass
except BadInput:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("bomb", BOMBS)
def test_reading_a_record_takes_bounded_memory(bomb: str) -> None:
    code = MEASURE.format(head=HEAD, line=LINE, make=BOMBS[bomb])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert int(done.stdout) < 200 * 1024, "KiB"


def test_a_blob_larger_than_its_record_says_does_not_fill_the_disk(tmp_path: Path) -> None:
    place, target = tmp_path / "archive" / "blobs" / DIGEST[:2] / DIGEST, tmp_path / "blob"
    place.parent.mkdir(parents=True)
    store = ArchiveStore(FolderFiles(tmp_path / "archive"))
    with place.open("wb") as file:
        file.truncate(2**40)  # a hole, which takes no space there
    with pytest.raises(OrchestuneError, match="a blob is damaged"):
        store.fetch_blob(DIGEST, len(CONTENT), target)
    assert target.stat().st_size == len(CONTENT)
    place.write_bytes(CONTENT)
    store.fetch_blob(DIGEST, len(CONTENT), target)
    assert target.read_bytes() == CONTENT


def test_an_import_that_was_refused_can_be_repeated(archived: Archived) -> None:
    forged = archived.first("metric")
    genuine = dict(forged)
    forged["trial"] = 77
    with pytest.raises(BadInput):
        archived.imported()
    forged |= genuine
    assert archived.imported()["imported"]
