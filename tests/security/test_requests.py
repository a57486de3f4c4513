"""One request, report or pattern must not stop the work of others."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestune.cli.inspect import logs as cli_logs
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import MAX_CHOICES, MAX_CONSTRAINTS, MAX_PARAMETERS, Space
from orchestune.domain.search.warm_start import MAX_RESULTS
from orchestune.domain.specification.metrics import Metric, Point
from orchestune.errors import PROBLEMS_SHOWN, BadInput, NotFound, Problem, UsageError, from_json
from orchestune.server import caller_limits, requests
from orchestune.server.decoding import LARGE_DOCUMENT_BYTES
from orchestune.services.access import grant_access
from orchestune.services.commands import create_experiment
from orchestune.services.commands.create_experiment import NewExperiment
from orchestune.services.core import Caller, Core
from orchestune.services.execution import locked_experiment, report_metrics, uploads
from orchestune.services.execution.locked_experiment import locked
from orchestune.services.execution.points import MAX_METRIC_NAMES, append, within_names
from orchestune.services.memory.loop_clock import MAX_GAP_SECONDS
from orchestune.services.signatures import report_signature, worker_token
from orchestune.store import logs
from orchestune.store.rows import Query
from orchestune.store.statements.points import REPORTED_NAMES
from orchestune.wire.work import MAX_LIVE, MAX_PARTS, MAX_POINTS
from tests.contract.world import CoreWorld
from tests.unit.server.harness import TIMEOUT, Live, Reply, live, until

OWNER = "secret-token"  # as the world has it
ADA = Caller("ada", "owner")
MEBIBYTE = 2**20
BODY = {"boot": "b", "beat": 1, "want": 0}
SPECIFICATION = {
    "name": "toy",
    "run": "echo loss={x}",
    "parameters": [{"name": "x", "type": "float", "min": 0, "max": 1}],
    "metrics": [{"name": "loss", "goal": "minimize"}],
    "budget": 2,
    "engine": "random",
}


class Site:
    """A world behind a real server, with an experiment that one worker runs."""

    def __init__(self, world: CoreWorld, server: Live) -> None:
        self.world, self.server = world, server
        created = self.ask("POST", "experiments", {"specification": SPECIFICATION})
        self.experiment = str(created.json()["id"])
        self.world.tick()
        self.worker = next(order.worker for order in world.backend.orders.values())
        self.token = worker_token(world.core, self.worker, self.experiment)
        self.register()

    def register(self) -> None:
        reply = self.of_worker("register", {"protocol": 1, "boot": "b", "node": "n"})
        assert reply.status == 200, reply.body

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        return self.server.ask(method, f"/api/v1/{path}", body, **{"token": OWNER, **options})

    def of_worker(self, path: str, body: Any, method: str = "POST") -> Reply:
        return self.ask(method, f"workers/{self.worker}/{path}", body, token=self.token)

    def call(self, **parts: Any) -> Reply:
        return self.of_worker("work", {**BODY, **parts})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    world = CoreWorld(tmp_path_factory.mktemp("site"))
    with live(world.core) as server:
        yield Site(world, server)
    world.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def any_world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[CoreWorld]:
    on_postgres = request.param == "postgresql"
    world = CoreWorld(tmp_path, request.getfixturevalue("postgres_database") if on_postgres else None)
    yield world
    world.close()


@pytest.fixture
def any_site(any_world: CoreWorld) -> Iterator[Site]:
    with live(any_world.core) as server:
        yield Site(any_world, server)


def unknown_keys(size: int) -> bytes:
    count = size // 13 - 1
    return b"{" + b",".join(b'"k%07d":0' % index for index in range(count)) + b"}"


# bodies and what is reported of them


def test_results_of_a_warm_start_are_counted_before_objects_are_built(site: Site) -> None:
    """233,000 in 4 MiB blocked the event loop for two seconds each time, and took 200 MiB."""
    results: list[dict[str, Any]] = [{"parameters": {}}] * (4 * MAX_RESULTS + 1)
    warm_start = {"source": "a table", "results": results}
    reply = site.ask("POST", "experiments", {"specification": SPECIFICATION, "warm_start": warm_start})
    assert reply.status == 400 and "has 20,001 entries (expected at most 20,000)" in reply.json()["error"]["message"]


def test_results_of_a_warm_start_are_validated_in_a_thread(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """235 results of 1,000 metrics each, sent again and again, blocked the event loop for four fifths of the time."""
    threads = []
    original = requests.WarmStartRequest.checked_results

    def checked(request: requests.WarmStartRequest) -> list[requests.WarmResult]:
        threads.append(threading.current_thread())
        return original(request)

    monkeypatch.setattr(requests.WarmStartRequest, "checked_results", checked)
    results = [{"parameters": {"x": 0.5}, "metrics": {"loss": {"value": 1.0}}}, {"parameters": {"x": []}}]
    warm_start = {"source": "a table", "results": results}
    reply = site.ask("POST", "experiments", {"specification": SPECIFICATION, "warm_start": warm_start})
    (problem, *_) = reply.json()["error"]["problems"]
    assert reply.status == 400 and problem["key"].startswith("warm_start.results.1.parameters.x")
    assert [thread.name.startswith("AnyIO worker") for thread in threads] == [True]


def test_large_documents_of_one_caller_are_answered_one_after_the_other(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parsed documents take fifty times their bytes: twelve of 4 MiB exceeded the memory of the server's pod."""
    released, running = threading.Event(), []

    def create(core: Core, new: NewExperiment, *_: object, **__: object) -> None:
        running.append(new.folder)
        assert released.wait(TIMEOUT)
        raise NotFound("nothing is created here")

    monkeypatch.setattr(create_experiment, "create_experiment", create)
    editor, other = (site.ask("POST", "tokens", {"name": name, "role": "editor"}).json()["token"] for name in "ab")
    large = {"specification": {**SPECIFICATION, "description": "x" * LARGE_DOCUMENT_BYTES}}
    with ThreadPoolExecutor(4) as callers:
        replies = [callers.submit(site.ask, "POST", "experiments", {**large, "folder": name}, token=token)
                   for name, token in (("a", editor), ("a", editor), ("b", other))]  # fmt: skip
        until(lambda: sorted(running) == ["a", "b"], "one of each caller")
        small = callers.submit(site.ask, "POST", "experiments", {"specification": {}, "folder": "s"}, token=editor)
        until(lambda: sorted(running) == ["a", "b", "s"], "a small document beside them")
        released.set()
        assert {reply.result().status for reply in [*replies, small]} == {404}


@pytest.mark.parametrize("channel", ["config", "constants"])
def test_a_part_of_a_text_that_is_no_pair_is_the_callers_mistake(site: Site, channel: str) -> None:
    document = {"config": {"name": "a", "path": "a", "parts": [[]]},
                "constants": {"path": "a.py", "lines": [{"number": 1, "parts": [["one"]]}]}}  # fmt: skip
    reply = site.ask("POST", "experiments", {"specification": {**SPECIFICATION, channel: document[channel]}})
    assert reply.status == 400 and "cannot parse the specification" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("POST", "sign-in", MEBIBYTE),
        ("POST", "tokens", MEBIBYTE),
        ("PATCH", "experiments/toy", MEBIBYTE),
        ("POST", "experiments/toy/trials", MEBIBYTE),
        ("POST", "experiments/toy/stop", MEBIBYTE),
        ("POST", "experiments", 4 * MEBIBYTE),
    ],
)
def test_a_body_beyond_the_limit_of_its_route_is_refused_unread(site: Site, method: str, path: str, most: int) -> None:
    reply = site.ask(method, path, b" " * (most + 1))
    assert (reply.status, reply.json()["error"]["code"]) == (413, "too_large")


def test_a_viewers_mebibyte_of_unknown_keys_is_answered_with_few_problems(site: Site) -> None:
    reply = site.ask("POST", "sign-in", unknown_keys(MEBIBYTE))
    assert reply.status == 400
    assert len(reply.json()["error"]["problems"]) <= PROBLEMS_SHOWN + 1
    assert len(reply.body) < 10_000


WRONG: dict[str, list[int]] = {f"k{index}": [] for index in range(200_000)}


@pytest.mark.parametrize(
    ("model", "document"),
    [
        (requests.Nothing, dict.fromkeys(range(116_000), 0)),
        (requests.CreateExperiment, {"specification": {}, "warm_start": {"source": "", "results": [1] * 2_000_000}}),
        (requests.CreateExperiment, {"specification": {}, "secrets": WRONG}),
        (requests.CreateExperiment, {"specification": {}, "outgoing": WRONG}),
        (requests.CreateExperiment, {"specification": {}, "launch": {"env": WRONG}}),
        (requests.CreateExperiment, {"specification": {}, "launch": {"links": [1] * 1_000_000}}),
        (requests.CreateExperiment, {"specification": {}, "first": {"seed": 1, "parameters": WRONG}}),
        (requests.ChangeExperiment, {"labels": WRONG}),
        (requests.QueueTrial, {"parameters": WRONG}),
        (requests.RerunTrial, {"run": [1] * 1_000_000}),
        (requests.TerminalRequest, {"attempt": "a", "size": [""] * 1_000_000}),
    ],
)
def test_no_document_makes_an_error_for_each_of_its_parts(model: Any, document: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:
        model.model_validate(document)
    assert cast(Any, caught.value).error_count() <= PROBLEMS_SHOWN


def test_problems_are_cut_at_twenty_and_stay_so_on_their_way_through_http() -> None:
    error = BadInput([Problem("is wrong", key=f"k{index}") for index in range(116_000)])
    assert len(error.problems) == PROBLEMS_SHOWN + 1 == 21
    assert error.message.splitlines()[-1] == "… and 115,980 more"
    assert from_json(error.to_json()).message == error.message


def test_a_few_problems_are_all_reported() -> None:
    assert len(BadInput([Problem("is wrong")] * PROBLEMS_SHOWN).problems) == PROBLEMS_SHOWN


# specifications


def chain(count: int) -> tuple[Parameter, ...]:
    """Parameters of which each applies if the next one has a value."""
    when = [((f"p{index + 1}", (True,)),) for index in range(count - 1)]
    return tuple(
        Parameter(f"p{index}", "bool", choices=(False, True), when=when[index] if index < count - 1 else ())
        for index in range(count)
    )


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": [{"name": f"p{index}", "type": "bool"} for index in range(MAX_PARAMETERS + 1)]},
        {"constraints": ["x <= 1"] * (MAX_CONSTRAINTS + 1)},
        {"try_first": [{"x": 0}] * 10_001},
        {"metrics": [{"name": f"m{index}", "goal": "minimize"} for index in range(1001)]},
        {"labels": {f"l{index}": "" for index in range(1001)}},
        {"env": {f"E{index}": "" for index in range(1001)}},
    ],
)
def test_a_specification_with_too_many_parts_is_refused(site: Site, change: dict[str, Any]) -> None:
    reply = site.ask("POST", "experiments", {"specification": SPECIFICATION | change})
    assert (reply.status, reply.json()["error"]["code"]) == (400, "bad_input"), reply.body
    assert "expected at most" in reply.json()["error"]["message"]


def test_a_chain_of_as_many_conditions_as_are_allowed_is_checked() -> None:
    assert len(Space.of(chain(MAX_PARAMETERS)).parameters) == MAX_PARAMETERS


@pytest.mark.parametrize(
    ("parameter", "path"),
    [
        ({"type": "categorical", "choices": [*range(MAX_CHOICES + 1)]}, "parameters.y.choices"),
        ({"type": "bool", "when": {"x": [0.5] * (MAX_CHOICES + 1)}}, "parameters.y.when.x"),
    ],
)
def test_more_values_than_an_experiment_file_may_list_are_refused_by_path(
    site: Site, parameter: dict[str, Any], path: str
) -> None:
    parameters = [*cast(list[object], SPECIFICATION["parameters"]), {"name": "y", **parameter}]
    reply = site.ask("POST", "experiments", {"specification": {**SPECIFICATION, "parameters": parameters}})
    assert reply.status == 400, reply.body
    [problem] = reply.json()["error"]["problems"]
    assert (problem["key"], problem["message"]) == (path, "has 1,001 values (expected at most 1,000)")


def test_values_in_conditions_are_bounded_in_all() -> None:
    """Each configuration is compared with all of them: 10,000 of `try_first` took minutes."""
    when = (("x", (0,) * MAX_CHOICES),)
    parameters = (Parameter("x", "int", 0, 1), *(Parameter(f"p{n}", "int", 0, 1, when=when) for n in range(101)))
    with pytest.raises(BadInput, match="101,000 values in `when`"):
        Space.of(parameters)


def test_conditions_that_would_be_compared_for_minutes_are_refused() -> None:
    choices = tuple(range(1000))
    parent = Parameter("c", "categorical", choices=choices)
    others = (Parameter(f"p{index}", "int", 0, 1, when=(("c", choices),)) for index in range(50))
    with pytest.raises(BadInput, match="comparisons"):
        Space.of((parent, *others))


def test_of_many_cycles_the_first_are_reported() -> None:
    names = [f"p{index}" for index in range(100)]
    when = tuple((name, (True,)) for name in names)
    with pytest.raises(BadInput) as caught:
        Space.of(tuple(Parameter(name, "bool", choices=(False, True), when=when) for name in names))
    assert len(caught.value.problems) <= PROBLEMS_SHOWN + 1


# reports of workers


def test_a_call_that_names_a_million_attempts_is_refused_for_its_size(site: Site) -> None:
    assert site.call(live=["a"] * 1_200_000).status == 413


@pytest.mark.parametrize(
    "parts",
    [
        {"live": ["a"] * (MAX_LIVE + 1)},
        {"beats": [{"attempt": str(index), "token": 1} for index in range(10_001)]},
        {"finished": [{"attempt": str(index), "token": 1, "state": "lost"} for index in range(10_001)]},
    ],
)
def test_lists_of_a_call_are_bounded(site: Site, parts: dict[str, Any]) -> None:
    reply = site.call(**parts)
    assert (reply.status, reply.json()["error"]["code"]) == (422, "invalid_call"), reply.body
    assert next(iter(parts)) in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "parts",
    [{"points": [[0, "loss", 1, None, None]] * (MAX_POINTS + 1)}, {"logs": [[0, "", 0]] * (MAX_PARTS + 1)}],
    ids=["points", "logs"],
)
def test_lists_of_a_report_are_bounded(site: Site, parts: dict[str, Any]) -> None:
    (ack,) = site.call(beats=[{"attempt": "a", "token": 1, **parts}]).json()["acks"]
    assert ack["result"] == "rejected" and f"beats[0].{next(iter(parts))}" in ack["message"]


def test_as_many_attempts_as_are_allowed_are_taken_while_others_are_heard(site: Site) -> None:
    with ThreadPoolExecutor() as pool:
        large = pool.submit(site.call, live=[f"attempt-{index}" for index in range(MAX_LIVE)])
        assert site.call(beat=2).status == 200
        assert len(large.result().json()["orders"]) == MAX_LIVE


def test_what_a_worker_says_of_itself_is_bounded(site: Site) -> None:
    for name in ("boot", "node", "version", "capabilities"):
        reply = site.of_worker("register", {"protocol": 2, "boot": "b", "node": "n", name: "x" * 2000})
        assert (reply.status, reply.json()["error"]["code"]) == (422, "invalid_call"), reply.body


# metrics


def test_of_one_attempt_so_many_names_of_metrics_are_kept_and_the_declared_ones_always(any_world: CoreWorld) -> None:
    world = any_world
    experiment = world.create(budget=2, parallelism=1, metrics=[{"name": "loss", "goal": "minimize"}])
    worker, lease = world.lease()[0]
    worker.call(beats=[worker.started(lease)])
    for part in range(5):
        names = [f"m{part}-{index}" for index in range(MAX_METRIC_NAMES // 2)]
        points = [[0, name, 1.0, None, None] for name in [*names, "m0-0", "loss"]]
        worker.call(beats=[{"attempt": lease["attempt"], "token": lease["token"], "points": points}])
    with world.core.store.reading() as session:
        stored_names = {name.name for name in session.rows(REPORTED_NAMES, {"attempt": lease["attempt"]})}
    assert len(stored_names) <= MAX_METRIC_NAMES + 1 and {"loss", "m0-0"} <= stored_names
    worker.call(finished=[worker.finish(lease)])
    assert world.status(experiment)["counts"]["completed"] == 1


def test_names_that_the_end_of_an_attempt_brings_are_bounded_as_well(world: CoreWorld) -> None:
    experiment = world.create(budget=2, parallelism=1)
    worker, lease = world.lease()[0]
    points = [[0, f"m{index}", 1.0, None, None] for index in range(9_000)]
    worker.call(finished=[worker.finish(lease, points=[*points, [0, "loss", 0.5, None, None]])])
    [trial] = [trial for trial in world.trials(experiment) if trial["state"] == "completed"]
    assert len(trial["metrics"]) <= MAX_METRIC_NAMES + 1 and trial["metrics"]["loss"]["value"] == 0.5


def test_reports_by_http_with_ever_new_names_are_refused_at_the_bound(world: CoreWorld) -> None:
    world.create(budget=2, parallelism=1)
    worker, lease = world.lease()[0]
    worker.call(beats=[worker.started(lease)])
    attempt = lease["attempt"]
    signature = report_signature(world.core, attempt)
    report_metrics.report(world.core, attempt, signature, {f"a{index}": 1 for index in range(MAX_METRIC_NAMES)})
    with pytest.raises(BadInput, match="different metrics"):
        report_metrics.report(world.core, attempt, signature, {"b": 1})
    assert not report_metrics.report(world.core, attempt, signature, {"a0": 2, "loss": 0.5})["stop"]
    with pytest.raises(BadInput, match="at most 500 characters"):
        report_metrics.report(world.core, attempt, signature, {"n" * 501: 1})
    with pytest.raises(BadInput, match="values in one report"):
        report_metrics.report(world.core, attempt, signature, {f"text{index}": "x" for index in range(250_000)})


# events


def test_events_that_a_worker_can_repeat_are_bounded_and_others_stay(
    any_world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million reports of one attempt were a million events, which nothing deleted before the experiment was."""
    world, most = any_world, 30
    monkeypatch.setattr(locked_experiment, "MAX_EVENTS", most)
    experiment = world.create(budget=2, parallelism=1, checkpoint_every=60)
    worker, lease = world.lease()[0]
    attempt = {"attempt": lease["attempt"], "token": lease["token"]}
    digest = hashlib.sha256(b"x").hexdigest()
    uploads.append(world.core, worker.id, digest, 0, b"x")
    worker.call(beats=[worker.started(lease)])
    for step in range(100):
        worker.call(beats=[{**attempt, "points": [[step, "loss", 0.5, step, None]]}])
        assert worker.checkpoint({**attempt, "digest": digest, "step": step, "size": 1})["accepted"]
    world.run(experiment)
    with world.core.store.reading() as session:
        events = logs.events_after(session, experiment, 0, 10_000)
    kinds = Counter(event.kind for event in events)
    assert events[-1].seq > 200 and kinds["metric_reported"] + kinds["checkpoint_published"] < most
    assert kinds["trial_finished"] == kinds["trial_queued"] == 2 and kinds["experiment_created"] == 1
    newest = [event.seq for event in events if event.seq > events[-1].seq - most]
    assert newest == [*range(events[-1].seq - most + 1, events[-1].seq + 1)]


# the reaper


def test_a_blocked_event_loop_costs_no_worker_its_lease(world: CoreWorld) -> None:
    experiment = world.create(budget=2, parallelism=1)
    worker, lease = world.lease()[0]
    worker.call(beats=[worker.started(lease)])
    listening, clock = world.core.listening, world.clock
    listening.tick(clock.monotonic())
    for _ in range(60):  # the reaper looks from its own thread while the loop is blocked
        clock.pass_time(1.0)
        world.lost_workers.tick()
    listening.tick(clock.monotonic())
    world.lost_workers.tick()
    assert [worker["state"] for worker in world.status(experiment)["workers"]] == ["busy"]
    worker.call(finished=[worker.finish(lease)])
    assert world.status(experiment)["counts"]["completed"] == 1


def test_a_worker_that_is_silent_while_the_loop_runs_is_lost(world: CoreWorld) -> None:
    experiment = world.create(budget=2, parallelism=1)
    worker, lease = world.lease()[0]
    worker.call(beats=[worker.started(lease)])
    for _ in range(int(world.core.lease_seconds / MAX_GAP_SECONDS) + 3):
        world.clock.pass_time(MAX_GAP_SECONDS)
        world.core.listening.tick(world.clock.monotonic())
        world.lost_workers.tick()
    assert [worker["state"] for worker in world.status(experiment)["workers"]] == ["lost"]


def test_the_loop_of_a_server_ticks(site: Site) -> None:
    listening, clock = site.world.core.listening, site.world.clock
    before = listening.seconds(clock.monotonic())
    deadline = time.monotonic() + 60
    while listening.seconds(0.0) == before:
        clock.pass_time(0.1)
        assert time.monotonic() < deadline
        time.sleep(0.01)


# numbers that no store holds


NUMBERS = (2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, -(2**63) - 1)
PATHS = (
    "/events?after={}", "/logs?after={}", "/logs?trial={}", "/logs?tail={}", "/events?limit={}", "/trials?after={}",
    "/trials?offset={}&sort=number", "/trials/{}", "/trials/{}/points", "/trials/{}/artifacts/a", "?log_after={}",
    "/specification?revision={}",
)  # fmt: skip


def test_a_number_that_no_store_holds_is_no_fault_of_the_server(any_site: Site) -> None:
    replies = {
        (path, number): any_site.ask("GET", f"experiments/{any_site.experiment}{path.format(number)}")
        for path in PATHS
        for number in NUMBERS
    }
    assert {word: reply.status for word, reply in replies.items() if reply.status not in (200, 400, 404)} == {}
    assert replies["/events?after={}", 2**53 - 1].json()["items"] == []
    assert replies["/events?after={}", 2**53].status == 400


def test_a_stream_resumes_behind_any_number(any_site: Site) -> None:
    for part in ("events", "logs"):
        for number in (2**31, 2**53, 10**17, 10**18):
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(number)}
            path = f"/api/v1/experiments/{any_site.experiment}/{part}"
            assert any_site.server.send("GET", path, token=OWNER, headers=headers).status in (200, 400)


def test_numbers_of_workers_that_no_store_holds_are_refused(any_site: Site) -> None:
    digest = "0" * 64
    for number in NUMBERS:
        file = {"path": "p", "digest": digest, "size": number}
        replies = [
            any_site.of_worker(f"jobs/{number}", None, "GET"),
            any_site.of_worker(f"uploads/{digest}?offset={number}", b"x", "PUT"),
            any_site.of_worker("checkpoint", {"attempt": "a", "token": number, "digest": digest, "size": number}),
            any_site.of_worker("artifacts", {"attempt": "a", "token": number, "files": [file]}),
            any_site.call(beat=number),
            any_site.call(want=number),
            any_site.call(
                finished=[{"attempt": "a", "state": "lost", "token": number, "memory": number, "log_bytes": number}]
            ),
        ]
        assert [reply.body for reply in replies if reply.status >= 500] == [], number


def test_a_column_that_overflows_is_the_callers_mistake(any_world: CoreWorld) -> None:
    world = any_world
    world.create(budget=2, parallelism=1)
    _, lease = world.lease()[0]
    with world.core.store.reading() as session:
        [experiment] = session.rows(Query(str, "SELECT id FROM experiments"), {})
    with pytest.raises(BadInput, match="larger than the store can hold"), locked(world.core, experiment) as ledger:
        append(ledger, lease["attempt"], [Point("loss", 1.0, None, None, 2**70)])


# patterns


def test_a_pathological_pattern_of_grep_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_logs, "GREP_SECONDS", 0.2)
    lines = [cast(cli_logs.Line, SimpleNamespace(text=text)) for text in ("b", "a" * 64 + "!")]
    with pytest.raises(UsageError, match="takes longer than"):
        cli_logs._line_filter("(a+)+$")(lines)


def test_a_usual_pattern_of_grep_finds_its_lines() -> None:
    lines = [cast(cli_logs.Line, SimpleNamespace(text=text)) for text in ("loss=1", "epoch 2")]
    assert cli_logs._line_filter("epoch [0-9]")(lines) == lines[1:]
    assert cli_logs._line_filter(None)(lines) == lines


def test_names_within_the_bound_are_not_looked_up(world: CoreWorld) -> None:
    experiment = world.create(budget=2, parallelism=1)
    _, lease = world.lease()[0]
    few = [Point(f"m{index}", 1.0) for index in range(3)]
    with locked(world.core, experiment) as ledger:
        assert within_names(ledger, lease["attempt"], 0, few) is few
        assert ledger.row.specification.metrics == (Metric("loss", "minimize"),)


def test_viewer_cannot_open_streams_without_limit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 400 streams of one viewer, a change of their experiment took the event loop 0.9 s."""
    monkeypatch.setattr(caller_limits, "MAX_REQUESTS", 3)
    vera, eve = (
        grant_access.issue_token(site.world.core, ADA, name=name, role="viewer", days=1)["token"]
        for name in ("vera", "eve")
    )
    path = f"/api/v1/experiments/{site.experiment}/events"
    for token in (vera, vera, vera, OWNER, OWNER, OWNER, OWNER):
        connection = site.server.connect()
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}", "Accept": "text/event-stream"})
        assert connection.getresponse().status == 200
    headers = {"Accept": "text/event-stream"}
    refused = site.server.ask("GET", "/api/v1/experiments", token=vera, headers=headers)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert [site.ask("GET", "experiments", token=token).status for token in (vera, eve)] == [200, 200]


def test_folds_beyond_those_of_experiment_files_are_refused(site: Site) -> None:
    """Any number was taken over HTTP: the tasks of one trial with a million folds took 42 s to queue."""
    reply = site.ask("POST", "experiments", {"specification": {**SPECIFICATION, "folds": {"count": 1001}}})
    assert reply.status == 400 and "folds" in reply.json()["error"]["message"]


def test_trials_of_many_folds_are_queued_in_several_transactions(world: CoreWorld) -> None:
    """All of them at once would be ten million rows, and no worker's report could be stored meanwhile."""
    experiment = world.create(
        folds={"count": 1000}, budget=20, parallelism=10_000, try_first=[{"x": 0.5}, {"x": 0.6}] * 6
    )
    world.suggesting.tick()
    assert len(world.trials(experiment)) == 5
    world.tick(3)
    assert len(world.trials(experiment)) >= 12


def test_options_of_engines_that_exhaust_the_server_are_refused(site: Site) -> None:
    """A hypercube of a billion points took 15 GiB of the server's memory, again after each restart."""
    for engine, option in (("latin", "size"), ("tpe", "candidates"), ("cma", "population"), ("swarm", "particles")):
        specification = {**SPECIFICATION, "engine": engine, "engine_options": {option: 10**9}}
        reply = site.ask("POST", "experiments", {"specification": specification})
        assert (reply.status, reply.json()["error"]["problems"][0]["key"]) == (400, f"engine.{option}")


def test_a_viewer_cannot_push_all_others_out_of_the_audit_log(site: Site) -> None:
    """Each link to sign in is a row of the log, which keeps 100,000: ten minutes of requests removed older traces."""
    vera = grant_access.issue_token(site.world.core, ADA, name="vera", role="viewer", days=1)["token"]
    statuses = (
        site.ask("POST", "sign-in", {}, token=vera).status for _ in range(4 * caller_limits.MAX_AUDITED_PER_MINUTE)
    )
    assert 429 in statuses
    assert site.ask("GET", "experiments", token=vera).status == 200
    assert site.ask("POST", "sign-in", {}, token=OWNER).status == 201
