"""Attacks by records of experiments: what an import refuses, and that nothing of an imported experiment runs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from orchestune.archives import record
from orchestune.errors import BadInput, Unverified, UsageError
from orchestune.services import change_experiment, export_record, import_record, points, uploads
from orchestune.store.tables import metadata
from orchestune.testing.world import World
from tests.unit.server.harness import Live, Reply, live

Row = dict[str, Any]
OWNER = "secret-token"
FOREIGN_ID = "0188c0de-0000-7000-8000-000000000000"
CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Archived:
    """The record of a finished experiment that this server has no longer, beside a running one: the victim."""

    world: World
    head: record.Head
    rows: list[tuple[str, Row]]
    signed: bytes
    victim: str
    victim_attempt: str

    def of(self, table: str) -> list[Row]:
        return [row for name, row in self.rows if name == table]

    def first(self, table: str) -> Row:
        return self.of(table)[0]

    def written(self, head: record.Head | None = None) -> io.BytesIO:
        """The record as an attacker writes it: without a signature of this server."""
        stream = io.BytesIO()
        record.write(stream, head or self.head, self.rows)
        stream.seek(0)
        return stream

    def imported(self, stream: io.BytesIO | None = None) -> dict[str, Any]:
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


def archived_in(world: World) -> Archived:
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
    rows = list(record.rows(stream))
    return Archived(world, head, rows, stream.getvalue(), victim, victim_lease["attempt"])


@pytest.fixture
def archived(world: World) -> Archived:
    return archived_in(world)


@pytest.fixture(scope="module")
def of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archived]:
    """A world that all tests of this file may share which leave it as it was."""
    world = World(tmp_path_factory.mktemp("world"))
    yield archived_in(world)
    world.close()


@pytest.fixture
def untouched(of_all: Archived) -> Archived:
    return replace(of_all, rows=deepcopy(of_all.rows))


def workers_of(world: World, experiment: str) -> list[str]:
    """The workers that were ever started for an experiment, before it was exported too."""
    return [order.worker for order in world.backend.orders.values() if order.experiment == experiment]


def nothing_runs(world: World, experiment: str) -> None:
    """Assert that an imported experiment is over and stays so, whatever a user does but resuming or extending it."""
    change_experiment.change_experiment(world.core, experiment, {"labels": {"seen": "yes"}, "priority": 3}, "bob")
    change_experiment.drop_files(world.core, experiment)
    for _ in range(5):
        world.clock.pass_time(60.0)
        world.tick()
    status = world.status(experiment)
    assert status["state"] in ("completed", "failed", "stopped")
    assert status["desired"] == "stopped"
    assert len(workers_of(world, experiment)) == 1, "the one that it had before"
    with world.core.store.reading() as session:
        for table in ("notices", "tracked"):
            assert not session.select(select(metadata.tables[table].c.experiment), str)


def specification(row: Row, **changes: Any) -> None:
    """Change keys of the specification in a row."""
    row["specification"] = json.dumps(json.loads(row["specification"]) | changes)


def test_what_an_experiment_wants_is_not_done(archived: Archived) -> None:
    """The attack of the audit: another command, and a row that says that more of it is to run."""
    own = archived.first("experiments")
    own |= {"desired": "running", "ended": None, "reason": None, "budget": 1000, "pending": 5, "queued": 5, "live": 1}
    specification(own, run="id > /tmp/owned", budget=1000)
    archived.first("tasks")["state"] = "pending"
    handle = archived.imported()["experiment"]
    nothing_runs(archived.world, handle)
    assert archived.world.status(handle)["counts"] == {
        "queued": 0, "running": 0, "completed": 2, "failed": 0, "pruned": 0, "cancelled": 0,
    }  # fmt: skip


def test_an_owner_in_a_record_is_a_claim(archived: Archived) -> None:
    archived.first("experiments")["owner"] = "ada"
    experiment = archived.imported()["experiment"]
    assert archived.world.status(experiment)["owner"] == "ada (imported)"


def test_the_record_of_this_server_is_imported_without_a_question_and_is_stopped(archived: Archived) -> None:
    answer = import_record.read(archived.world.core, io.BytesIO(archived.signed))
    assert answer["imported"]
    assert archived.world.status(answer["experiment"])["owner"] == "ada"
    nothing_runs(archived.world, answer["experiment"])


def test_a_log_in_the_files_of_another_server_is_no_path_here(archived: Archived) -> None:
    archived.first("log_segments").update(object="../../orchestune.db", object_offset=0, data=None)
    archived.imported()
    stream = io.BytesIO()
    export_record.write(archived.world.core, archived.head.experiment, stream)
    assert b"SQLite" not in gzip.decompress(stream.getvalue())


def test_attempts_that_resumed_from_each_other_are_followed_once(archived: Archived) -> None:
    one, two = archived.of("attempts")[:2]
    for attempt, origin in ((one, two), (two, one)):
        attempt["resumed_from"] = json.dumps({"attempt": origin["id"], "step": 1})
    archived.imported()
    with archived.world.core.store.reading() as session:
        assert len(points.inherited(session, archived.head.experiment, one["id"], "loss")) == 1


def set_cell(table: str, **cells: Any) -> Callable[[Archived], None]:
    return lambda archived: archived.first(table).update(cells)


def change_specification(table: str, **changes: Any) -> Callable[[Archived], None]:
    return lambda archived: specification(archived.first(table), **changes)


def foreign_attempt(table: str, name: str) -> Callable[[Archived], None]:
    """Let rows of `table` name the attempt of the victim."""

    def change(archived: Archived) -> None:
        archived.first(table)[name] = archived.victim_attempt

    return change


def foreign_experiment(table: str) -> Callable[[Archived], None]:
    def change(archived: Archived) -> None:
        archived.first(table)["experiment"] = archived.victim

    return change


def twice(table: str) -> Callable[[Archived], None]:
    def change(archived: Archived) -> None:
        place = [name for name, _ in archived.rows].index(table)
        archived.rows.insert(place, (table, dict(archived.rows[place][1])))

    return change


def drop_column(table: str, name: str) -> Callable[[Archived], None]:
    def change(archived: Archived) -> None:
        for row in archived.of(table):
            del row[name]

    return change


def add_first(table: str) -> Callable[[Archived], None]:
    return lambda archived: archived.rows.insert(0, (table, {"experiment": archived.head.experiment}))


CHECKPOINT = json.dumps({"attempt": FOREIGN_ID, "digest": "../../x", "step": 1})
DEEP = "[" * 100_000 + "]" * 100_000
FORGERIES: dict[str, Callable[[Archived], object]] = {
    "experiment that runs": set_cell("experiments", state="running", desired="running", finished_at=None),
    "experiment in an unknown state": set_cell("experiments", state="flying"),
    "trial that waits": set_cell("trials", state="queued"),
    "attempt that runs": set_cell("attempts", state="running"),
    "unknown state of a task": set_cell("tasks", state="flying"),
    "unknown intent": set_cell("experiments", desired="everything"),
    "unknown reason": set_cell("trials", reason='{"code": "x", "message": ""}'),
    "ended for no known reason": set_cell("experiments", ended="x"),
    "parameters outside of the space": set_cell("trials", parameters='{"x": 7.0}'),
    "parameters of another experiment": set_cell("trials", parameters='{"y": 0.5}'),
    "parameters that are objects": set_cell("trials", parameters='{"x": {"a": 1}}'),
    "parameters that are a list": set_cell("trials", parameters="[]"),
    "parameters that are no JSON": set_cell("trials", parameters="{"),
    "deep JSON in a cell": set_cell("events", data=DEEP),
    "many objects in a cell": set_cell("attempts", gpus="[" + "{}," * 300_000 + "{}]"),
    "specification without a command": change_specification("experiments", run=None),
    "specification that is no JSON": set_cell("experiments", specification="run"),
    "specification of a revision with no metric": change_specification("revisions", metrics=[]),
    "huge number in a specification": change_specification("experiments", budget=10**400),
    "deep specification": set_cell("experiments", specification='{"run": ' + DEEP + "}"),
    "environment of odd types": set_cell("experiments", launch='{"env": {"PATH": ["x"]}}'),
    "labels of odd types": set_cell("experiments", labels='{"a": {"b": 1}}'),
    "artifact above its folder": set_cell("artifacts", path="../../x"),
    "artifact with no name": set_cell("artifacts", path=""),
    "artifact at an absolute path": set_cell("artifacts", path="/etc/passwd"),
    "artifact with an odd digest": set_cell("artifacts", digest="../../../etc/passwd"),
    "checkpoint with an odd digest": set_cell("tasks", checkpoint=CHECKPOINT),
    "bundle with an odd digest": set_cell("experiments", bundle="../../../etc/passwd"),
    "attempt of another experiment": foreign_attempt("attempts", "id"),
    "points for an attempt of another experiment": foreign_attempt("points", "attempt"),
    "log for an attempt of another experiment": foreign_attempt("log_segments", "attempt"),
    "artifact of an attempt of another experiment": foreign_attempt("artifacts", "attempt"),
    "trial of another experiment": foreign_experiment("trials"),
    "event of another experiment": foreign_experiment("events"),
    "worker of another experiment": foreign_experiment("workers"),
    "experiment with another id": set_cell("experiments", id=FOREIGN_ID),
    "experiment with another handle": set_cell("experiments", handle="sgd-7f3a"),
    "task of no trial": set_cell("tasks", trial=77),
    "metric of no trial": set_cell("trial_metrics", trial=77),
    "trial of no revision": set_cell("trials", revision=77),
    "trial beyond the counter": set_cell("trials", number=77),
    "event beyond the counter": set_cell("events", seq=10**6),
    "log beyond the counter": set_cell("log_segments", seq=10**6),
    "fold that there is none of": set_cell("tasks", fold=5),
    "best trial that there is none of": set_cell("experiments", best_trial=77),
    "budget beyond all bounds": set_cell("experiments", budget=2**31 - 1),
    "priority beyond all bounds": set_cell("experiments", priority=5000),
    "number beyond 64 bits": set_cell("attempts", memory=2**70),
    "whole number in the place of a float beyond 64 bits": set_cell("trial_metrics", stddev=2**63),
    "negative count": set_cell("attempts", points=-1),
    "number that is text": set_cell("trials", seed="7"),
    "number that is true": set_cell("trials", losses=True),
    "infinite value": set_cell("trial_metrics", value=1e400),
    "value that is no number": set_cell("points", value=float("nan")),
    "time beyond the calendar": set_cell("experiments", created_at=1e300),
    "text that is null": set_cell("experiments", name=None),
    "text that is too long": set_cell("workers", name="x" * 100),
    "half a character": set_cell("experiments", folder="\ud800"),
    "log that is no base64": set_cell("log_segments", data="%%%"),
    "unknown column": set_cell("trials", run="id"),
    "proof of an owner": set_cell("experiments", principal="token:ada"),
    "quoted column": set_cell("trials", **{'x" = 1; --': "id"}),
    "missing column": drop_column("trials", "seed"),
    "columns that change": lambda archived: archived.of("trials")[1].pop("seed"),
    "unknown table": add_first("credentials"),
    "row before its experiment": add_first("events"),
    "two experiments": twice("experiments"),
    "trial twice": twice("trials"),
    "metric twice": twice("trial_metrics"),
    "no experiment": lambda archived: archived.rows.clear(),
}


@pytest.mark.parametrize("attack", FORGERIES)
def test_a_forged_record_is_refused_and_leaves_nothing(untouched: Archived, attack: str) -> None:
    before = untouched.state()
    FORGERIES[attack](untouched)
    with pytest.raises(UsageError) as caught:
        untouched.imported()
    assert caught.value.status == 400
    assert "damaged" not in caught.value.message
    assert untouched.state() == before


@pytest.fixture
def on_postgres(tmp_path: Path, postgres_database: str) -> Iterator[Archived]:
    world = World(tmp_path, postgres_database)
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
    archived.rows.append(("events", dict(archived.of("events")[-1])))
    events = [index for index, (name, _) in enumerate(archived.rows) if name == "events"]
    archived.rows.insert(events[-2], archived.rows.pop())
    number = archived.head.events + 1
    archived.of("events")[-1].update(seq=number, kind="experiment_changed")
    archived.first("experiments").update(event_seq=number)
    archived.first(table)["id"] = identity
    stream = archived.written(replace(archived.head, events=number))
    try:
        archived.imported(stream)
    except UsageError:
        assert table == "attempts"
    assert victim in archived.state()[table]


@pytest.mark.parametrize(
    "head",
    [
        {"blobs": {"../../../../tmp/x": 1}},
        {"blobs": {DIGEST: -1}},
        {"blobs": [DIGEST]},
        {"experiment": "../../x"},
        {"experiment": 7},
        {"handle": "\x1b[2J"},
        {"schema": ["0024"]},
        {"events": "3"},
        {"format": 2},
    ],
)
def test_a_forged_head_is_refused(untouched: Archived, head: dict[str, Any]) -> None:
    """Ids and digests become names of files where a record is copied, at the client too."""
    before = untouched.state()
    with pytest.raises(BadInput):
        untouched.imported(untouched.written(replace(untouched.head, **head)))
    assert untouched.state() == before


LINE = b'["events",{}]\n'
HEAD = b'{"schema":"0024","version":"1","experiment":"a","handle":"a","blobs":{},"events":1,"format":1}\n'
DAMAGED = {
    "nothing": b"",
    "no gzip": b"no record",
    "no JSON": gzip.compress(HEAD + b"[\n"),
    "no UTF-8": gzip.compress(HEAD + b'["events",{"kind":"\xff\xfe"}]\n'),
    "no head": gzip.compress(LINE),
    "head of a list": gzip.compress(b"[]\n"),
    "no end": gzip.compress(HEAD + LINE),
    "no row": gzip.compress(HEAD + b'["events"]\n'),
    "a row of a list": gzip.compress(HEAD + b'["events",[]]\n'),
    "a word": gzip.compress(HEAD + b'"events"\n'),
    "a number of 10,000 digits": gzip.compress(HEAD + b'["events",{"seq":' + b"9" * 10_000 + b"}]\n"),
    "deep lists": gzip.compress(HEAD + b"[" * 10**6 + b"\n"),
    "deep objects": gzip.compress(HEAD + b'{"a":' * 10**6 + b"\n"),
    "quotes without an end": gzip.compress(HEAD + b'["\\"' + b'\\"' * 10**6 + b"\n"),
    "wrong checksum": gzip.compress(HEAD + LINE + b'{"rows":{"events":1},"sha256":"0"}\n'),
    "odd end": gzip.compress(HEAD + LINE + b'{"rows":[],"sha256":{}}\n'),
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
    specification(archived.first("revisions"), run="id > \x1b[31mhidden")
    forged, before = archived.written().getvalue(), archived.state()
    refusals = [post(server, f"archive{query}", forged) for query in ("", "?trust=yes", f"?trust={DIGEST}")]
    assert archived.state() == before
    for refusal in refusals:
        error = refusal.json()["error"]
        assert (refusal.status, error["code"]) == (409, "unverified")
        assert error["contents"]["commands"] == ["echo loss={x}", "id >  [31mhidden"]
        assert error["contents"]["trials"] == {"completed": 2}
    answer = post(server, f"archive?trust={error['contents']['digest']}", forged)
    assert (answer.status, answer.json()["imported"]) == (200, True)


def test_a_signature_is_of_one_record_alone(archived: Archived, server: Live) -> None:
    signed = record.verify(io.BytesIO(archived.signed))
    asked = {"digest": signed.digest, "signature": signed.signature}
    assert post(server, "archive/signature", asked).json() == {"verified": True}
    assert post(server, "archive/signature", asked | {"digest": DIGEST}).json() == {"verified": False}
    assert post(server, "archive/signature", {"digest": DIGEST}).json() == {"verified": False}
    archived.first("experiments")["name"] = "other"
    specification(archived.first("experiments"), name="other")
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
    "a row of many values": "bomb = member(HEAD + b'[\"events\",{\"a\":[' + b'{},' * 2**23)",
    "a row of many columns": "bomb = member(HEAD + b'[\"events\",{' + b'\"a\":1,' * 2**22)",
    "a head of many blobs": "bomb = member(HEAD[:-2] + b',\"x\":{' + b'\"a\":1,' * 2**22)",
    "many long rows": "bomb = rows(30, b'[\"events\",{\"data\":\"' + b'a' * 2**23 + b'\"}]\\n')",
}
MEASURE = """
import gzip, hashlib, io, json, resource, sys
from orchestune.archives import record
from orchestune.errors import BadInput
HEAD = {head!r}
member = lambda content: gzip.compress(content, 1)
def rows(count, line):
    digest = hashlib.sha256(HEAD)
    for _ in range(count):
        digest.update(line)
    end = json.dumps(dict(rows=dict(events=count), sha256=digest.hexdigest())).encode()
    return member(HEAD) + member(line) * count + member(end)
{make}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    record.verify(io.BytesIO(bomb))
    for _ in record.tables(io.BytesIO(bomb)):
        pass
except BadInput:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("bomb", BOMBS)
def test_reading_a_record_takes_bounded_memory(bomb: str) -> None:
    code = MEASURE.format(head=HEAD, make=BOMBS[bomb])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert int(done.stdout) < 200 * 1024, "KiB"


def test_an_import_that_was_refused_can_be_repeated(archived: Archived) -> None:
    forged = archived.first("trial_metrics")
    genuine = dict(forged)
    forged["trial"] = 77
    with pytest.raises(BadInput):
        archived.imported()
    forged |= genuine
    assert archived.imported()["imported"]
