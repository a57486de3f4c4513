"""Messages from the row to a real server, with a clock that the tests own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest
from sqlalchemy import select
from standardwebhooks import Webhook

from orchestune.controllers import notifying
from orchestune.controllers.notifying import RETRY_DELAYS, Notifying
from orchestune.controllers.stuck_notifications import StuckNotifications
from orchestune.domain.specification.notify import Hook
from orchestune.engines.process import analyses
from orchestune.errors import BadInput, Denied, StoreUnavailable, UsageError
from orchestune.outgoing.destinations import AllowedDestinations
from orchestune.outgoing.http import HttpLink
from orchestune.outgoing.settings import Outgoing
from orchestune.services.commands.change_experiment import Changes, change_experiment, delete, pause, resume, stop
from orchestune.services.commands.create_experiment import create_experiment
from orchestune.services.commands.rerun_trial import Rerun, rerun_trial
from orchestune.services.memory.estimates import MIN_TRIALS
from orchestune.services.queries import read_experiments
from orchestune.store.notifications import Notice
from orchestune.store.tables import metadata, notifications
from tests.contract.world import CoreWorld
from tests.testbeds.receiver import Receiver
from tests.testbeds.waiting import until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def world(world: CoreWorld) -> CoreWorld:
    let(world, Outgoing(AllowedDestinations(everywhere=True)))
    return world


def let(world: CoreWorld, outgoing: Outgoing) -> None:
    """Set what the operator of the server sets."""
    world.core = replace(world.core, outgoing=outgoing)


def create(
    world: CoreWorld, url: str, secret: str = "", budget: int = 2, principal: str | None = None, **hook: Any
) -> str:
    """An experiment with one webhook; its address comes as a client sends it: beside the specification."""
    described = Hook(url, "env:SECRET" if secret else "", **hook).to_json()
    outgoing = {"notify.0.url": url, **({"notify.0.secret": secret} if secret else {})}
    new = replace(world.request(notify=[described], budget=budget, parallelism=1), outgoing=outgoing)
    return str(create_experiment(world.core, new, "ada", principal=principal)["id"])


def waiting(world: CoreWorld) -> list[Notice]:
    with world.core.store.reading() as session:
        return session.select(select(notifications), Notice)


def events(world: CoreWorld, experiment: str, kind: str) -> list[Any]:
    items = read_experiments.events(world.core, experiment, 0, 1000)["items"]
    return [item["data"] for item in items if item["kind"] == kind]


def sent(world: CoreWorld, sending: Notifying, done: Callable[[], object] | None = None) -> None:
    """Tick until nothing waits any more, or something holds."""

    def look() -> bool:
        sending.tick()
        return bool(done()) if done else not waiting(world)

    until("the messages to be sent", look, describe=lambda: waiting(world))


def tried(world: CoreWorld, sending: Notifying, tries: int) -> None:
    """Tick until the one message that waits has failed so often."""
    sent(world, sending, lambda: [row.delivery_attempts for row in waiting(world)] == [tries])


def test_the_end_is_told_with_what_was_found_signed_as_the_standard_has_it(world: CoreWorld) -> None:
    with Receiver() as receiver:
        experiment = create(world, receiver.url, SECRET)
        status = world.run(experiment)
        world.clock.wall = time.time()
        sent(world, Notifying(world.core))
        (request,) = receiver.received
    document = Webhook(SECRET).verify(request.body, dict(request.headers))
    best = status["best"][0]
    assert document["type"] == "experiment.finished"
    data = document["data"]
    assert (data["experiment"], data["state"], data["completed"]) == (status["handle"], "completed", 2)
    assert data["best"]["parameters"] == best["parameters"]
    assert data["best"]["trial"] == best["trial"]
    assert data["url"] == status["url"]
    assert data["text"].startswith("test finished after 2 of 2 trials; best loss ")


def test_what_was_written_before_the_clock_jumped_back_is_sent_all_the_same(world: CoreWorld) -> None:
    world.clock.pass_time(30 * 86_400.0)
    with Receiver() as receiver:
        world.run(create(world, receiver.url))
        world.clock.wall -= 30 * 86_400.0
        sent(world, Notifying(world.core))
        (request,) = receiver.received
    assert request.document["type"] == "experiment.finished"


def test_the_best_of_a_noisy_search_is_the_one_that_everybody_names(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyses, "best_estimate", lambda *arguments: (7, 0.1, 0.02))
    with Receiver() as receiver:
        experiment = create(world, receiver.url, budget=MIN_TRIALS)
        for number in range(1, MIN_TRIALS + 1):
            [(worker, lease)] = world.lease()
            points = [[1, "loss", 1 / number, None, 0.5]]
            worker.call(finished=[worker.finish(lease, 1 / number, points=points)])
        status = world.run(experiment)
        sent(world, Notifying(world.core))
        (request,) = receiver.received
    data = request.document["data"]
    assert data["best"]["trial"] == read_experiments.best(world.core, experiment)[0]["trial"] == 7
    assert data["best"]["value"] == pytest.approx(1 / 7)
    assert data["best"]["parameters"] == next(
        each["parameters"] for each in world.trials(experiment) if each["number"] == 7
    )
    assert data["text"].endswith("best loss 0.142857 (trial 7)")
    assert status["state"] == "completed"


def test_each_moment_is_told_to_whoever_wants_it(world: CoreWorld) -> None:
    with Receiver() as everything, Receiver() as failures:
        hooks = [Hook(everything.url).to_json(), Hook(failures.url, on=("failed",)).to_json()]
        outgoing = {"notify.0.url": everything.url, "notify.1.url": failures.url}
        new = replace(world.request(notify=hooks, budget=1), outgoing=outgoing)
        experiment = str(create_experiment(world.core, new, "ada")["id"])
        pause(world.core, experiment, False, "ada")
        resume(world.core, experiment, "ada")
        [(worker, lease)] = world.lease()
        worker.call(finished=[worker.finish(lease, state="failed", exit_code=1, points=[])])
        world.run(experiment)
        sending = Notifying(world.core)
        sent(world, sending)
        kinds = sorted(request.document["type"] for request in everything.received)
        assert [request.document["type"] for request in failures.received] == ["experiment.failed"]
    assert kinds == ["experiment.failed", "experiment.paused"]
    texts = {request.document["type"]: request.document["data"]["text"] for request in everything.received}
    assert texts["experiment.paused"] == "test is paused after 0 of 1 trials; paused by ada"


def test_who_stops_an_experiment_finishes_it(world: CoreWorld) -> None:
    with Receiver() as receiver:
        experiment = create(world, receiver.url)
        stop(world.core, experiment, "ada")
        world.tick(3)
        sent(world, Notifying(world.core))
        (request,) = receiver.received
    assert request.document["data"]["text"] == "test was stopped after 0 of 2 trials"


def test_a_better_value_is_told_once_when_the_limit_is_crossed(world: CoreWorld) -> None:
    with Receiver() as receiver:
        experiment = create(world, receiver.url, budget=5, on=(), better=0.5)
        for value in (0.9, 0.5, 0.4, 0.3, 0.6):
            [(worker, lease)] = world.lease()
            worker.call(finished=[worker.finish(lease, value)])
        world.run(experiment)
        sent(world, Notifying(world.core))
        (request,) = receiver.received
    data = request.document["data"]
    assert (request.document["type"], data["best"]["value"], data["best"]["trial"]) == ("experiment.better", 0.4, 3)
    assert data["text"] == "test: loss 0.4 (trial 3) is the best so far"


def test_slack_is_told_in_its_own_words(world: CoreWorld) -> None:
    with Receiver() as receiver:
        experiment = create(world, f"{receiver.url}/slack", budget=1)
        handle = world.run(experiment)["handle"]
        sent(world, Notifying(world.core))
        (request,) = receiver.received
    assert request.document.keys() == {"text"}
    assert request.document["text"].endswith(f"\n<{world.core.url}/experiments/{handle}|{handle}>")


def test_what_is_not_taken_comes_again_with_longer_pauses_and_the_same_identity(world: CoreWorld) -> None:
    with Receiver([500, "cut", 302, 404, 200]) as receiver:
        world.run(create(world, receiver.url))
        sending = Notifying(world.core)
        for tries, seconds in enumerate(RETRY_DELAYS[:4], 1):
            tried(world, sending, tries)
            sending.tick()
            assert len(receiver.received) == tries, "before its time"
            world.clock.pass_time(seconds)
        sent(world, sending)
        requests = receiver.wait(5)
    assert len({request.identity for request in requests}) == 1
    assert len({request.body for request in requests}) == 1
    assert len(requests) == 5


def test_a_server_that_asks_for_patience_gets_it(world: CoreWorld) -> None:
    with Receiver([429, 200]) as receiver:
        world.run(create(world, receiver.url))
        sending = Notifying(world.core)
        tried(world, sending, 1)
        (row,) = waiting(world)
        assert 76 < row.next_attempt_at - world.clock.now() <= 77


def test_what_nobody_takes_is_given_up_and_the_events_say_so(world: CoreWorld) -> None:
    with Receiver([503]) as receiver:
        experiment = create(world, f"{receiver.url}?key=hidden")
        world.run(experiment)
        sending = Notifying(world.core)
        for tries in range(1, len(RETRY_DELAYS) + 1):
            tried(world, sending, tries)
            world.clock.pass_time(RETRY_DELAYS[-1])
        sent(world, sending)
    assert events(world, experiment, "message_failed") == [
        {
            "about": "finished",
            "to": f"http://127.0.0.1:{receiver.port}/…",
            "tries": 10,
            "why": "the receiver responded 503",
        }
    ]


def test_an_address_that_is_gone_is_given_up_at_once(world: CoreWorld) -> None:
    with Receiver([410]) as receiver:
        experiment = create(world, receiver.url)
        world.run(experiment)
        sent(world, Notifying(world.core))
        assert len(receiver.received) == 1
    assert events(world, experiment, "message_failed")[0]["why"] == "the receiver responded 410 Gone"


def test_one_that_hangs_holds_nobody_else_up(world: CoreWorld) -> None:
    with Receiver(["hang"]) as slow, Receiver() as quick:
        hooks = [Hook(slow.url)] * 4
        outgoing = {f"notify.{index}.url": slow.url for index in range(4)}
        new = replace(world.request(notify=[hook.to_json() for hook in hooks], budget=1), outgoing=outgoing)
        first = str(create_experiment(world.core, new, "ada")["id"])
        world.run(first)
        sending = Notifying(world.core)
        sent(world, sending, lambda: len(slow.received) == 2)
        world.run(create(world, quick.url))
        sent(world, sending, lambda: quick.accepted())
        assert len(slow.received) == 2, "no more than two of one experiment at once"
        slow.let_go.set()
        sent(world, sending, lambda: sum(row.delivery_attempts for row in waiting(world)) == 4)


def test_addresses_that_hang_for_one_principal_hold_no_other_one_up(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifying, "HttpLink", partial(HttpLink, seconds=600.0))
    with ExitStack() as receivers:
        slow = [receivers.enter_context(Receiver(["hang"])) for _ in range(8)]
        quick = receivers.enter_context(Receiver())
        for each in slow:
            pause(world.core, create(world, each.url, principal="eve"), False, "eve")
        sending = Notifying(world.core)
        sent(world, sending, lambda: sum(len(each.received) for each in slow) == 3)
        pause(world.core, create(world, quick.url, principal="ada"), False, "ada")
        sent(world, sending, lambda: quick.accepted())
        assert sum(len(each.received) for each in slow) == 3, "no more than three of one principal at once"
        for each in slow:
            each.let_go.set()


@pytest.mark.parametrize("at_once", [100, 2])
def test_an_address_that_hangs_for_many_experiments_holds_no_other_one_up(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(notifying, "_PAGE_MESSAGES", at_once)
    monkeypatch.setattr(notifying, "HttpLink", partial(HttpLink, seconds=600.0))
    with Receiver(["hang"]) as slow, Receiver() as quick:
        for _ in range(5):
            pause(world.core, create(world, slow.url, budget=1), False, "ada")
        sending = Notifying(world.core)
        sent(world, sending, lambda: len(slow.received) == 2)
        pause(world.core, create(world, quick.url), False, "ada")
        sent(world, sending, lambda: quick.accepted())
        assert len(slow.received) == 2, "no more than two at one address at once"
        slow.let_go.set()
        sent(world, sending, lambda: sum(row.delivery_attempts for row in waiting(world)) == 5)


def test_no_record_has_an_address_or_a_secret_and_no_worker_gets_one(world: CoreWorld) -> None:
    with Receiver() as receiver:
        url = f"{receiver.url}/very-secret-path"
        experiment = create(world, url, "very-secret-key")
        world.lease()
        stop(world.core, experiment, "ada")
        with world.core.store.reading() as session:
            rows = [str(row) for table in metadata.sorted_tables for row in session.connection.execute(select(table))]
        assert [row for row in rows if "very-secret" in row] == []
        assert "very-secret" not in json.dumps(read_experiments.specification(world.core, experiment))
        worker = next(iter(world.workers))
        assert "very-secret" not in str(msgspec.json.encode(world.workers[worker].job))
        files = [path for path in (world.folder / "secrets").iterdir() if "very-secret" in path.read_text()]
        assert [path.stat().st_mode & 0o777 for path in files] == [0o600]
        sent(world, Notifying(world.core))
        delete(world.core, experiment, True, "ada")
        for name in world.backend.orders:
            world.backend.gone[name] = ""
        world.tick(3)
        assert not [path for path in (world.folder / "secrets").iterdir() if "very-secret" in path.read_text()]


def test_an_address_that_a_client_wrote_into_the_specification_is_kept_apart_all_the_same(world: CoreWorld) -> None:
    with Receiver() as receiver:
        experiment = world.create(notify=[{"url": f"{receiver.url}/very-secret"}], budget=1)
        assert world.run(experiment)["state"] == "completed"
        sent(world, Notifying(world.core))
        (request,) = receiver.received
    assert request.path == "/hook/very-secret"
    assert "very-secret" not in json.dumps(read_experiments.specification(world.core, experiment))


def test_a_server_of_several_people_refuses_addresses_inside_at_once_and_names_when_they_are_called(
    world: CoreWorld,
) -> None:
    let(world, Outgoing())
    with Receiver() as receiver:
        for url in (receiver.url, "http://169.254.169.254/latest", "http://[::ffff:10.0.0.1]/"):
            with pytest.raises(Denied, match="may not call"):
                create(world, url)
        experiment = create(world, f"http://localhost:{receiver.port}/")
        world.run(experiment)
        sent(world, Notifying(world.core))
        assert not receiver.received
    assert events(world, experiment, "message_failed")[0]["why"].startswith("this server may not call localhost")


def test_what_lacks_its_address_or_has_a_wrong_one_makes_no_experiment(world: CoreWorld) -> None:
    with pytest.raises(UsageError, match=r"no value for notify\.0\.url \(env:HOOK\)") as refused:
        world.create(notify=[{"url": "env:HOOK"}])
    assert refused.value.hint == "set them in the environment of `run`; they must not be empty"
    with pytest.raises(BadInput, match=r"notify\.0\.url: invalid URL"):
        create(world, "mailto:ada")


def test_the_servers_own_hook_hears_of_every_experiment_but_of_tests(world: CoreWorld) -> None:
    with Receiver() as receiver:
        let(world, Outgoing(AllowedDestinations(everywhere=True), Hook(receiver.url, "a-secret", stuck=60.0)))
        world.run(world.create(budget=1))
        world.run(world.create(budget=1, labels={"orchestune.dev/test": "0"}))
        sent(world, Notifying(world.core))
        assert [request.document["type"] for request in receiver.received] == ["experiment.finished"]
        assert "webhook-signature" in receiver.received[0].headers


def test_a_rerun_tells_nobody(world: CoreWorld) -> None:
    with Receiver() as receiver:
        experiment = create(world, receiver.url, budget=1)
        world.run(experiment)
        again = rerun_trial(world.core, experiment, 1, Rerun(), "ada")
        world.run(str(again["id"]))
        sent(world, Notifying(world.core))
        assert len(receiver.received) == 1


def pass_time(world: CoreWorld, watching: StuckNotifications, seconds: float) -> None:
    for _ in range(round(seconds / 10)):
        world.clock.pass_time(10)
        watching.tick()


def test_standing_still_is_told_once_and_again_when_it_stands_still_again(world: CoreWorld) -> None:
    with Receiver() as receiver:
        experiment = create(world, receiver.url, budget=5, on=(), stuck=600.0)
        watching, sending = StuckNotifications(world.core), Notifying(world.core)
        [(worker, lease)] = world.lease()
        watching.tick()
        pass_time(world, watching, 590)
        report = {"attempt": lease["attempt"], "token": lease["token"], "points": [[0, "loss", 0.5, 1, None]]}
        worker.call(beats=[report])
        pass_time(world, watching, 600)
        assert not waiting(world), "it reported a value"
        pass_time(world, watching, 20)
        sent(world, sending)
        pass_time(world, watching, 2000)
        pass_time(world, StuckNotifications(world.core), 2000)
        assert not waiting(world), "a restarted server does not say it again"
        worker.call(finished=[worker.finish(lease)])
        pass_time(world, watching, 620)
        sent(world, sending)
        requests = receiver.received
    assert [request.document["type"] for request in requests] == ["experiment.stuck"] * 2
    assert requests[0].document["data"]["text"] == (
        "test is stuck: no trial began, ended or reported a value for 10 min"
    )
    assert len({request.identity for request in requests}) == 2
    assert len(events(world, experiment, "experiment_stuck")) == 2


def test_what_is_paused_or_over_does_not_stand_still(world: CoreWorld) -> None:
    with Receiver() as receiver:
        experiment = create(world, receiver.url, on=(), stuck=60.0)
        watching = StuckNotifications(world.core)
        pause(world.core, experiment, False, "ada")
        pass_time(world, watching, 200)
        resume(world.core, experiment, "ada")
        world.run(experiment)
        pass_time(world, watching, 200)
        assert [row for row in waiting(world) if row.kind == "stuck"] == []


def test_an_experiment_that_goes_on_and_ends_again_is_told_again(world: CoreWorld) -> None:
    with Receiver() as receiver:
        experiment = create(world, receiver.url, budget=1)
        world.run(experiment)
        change_experiment(world.core, experiment, Changes(budget=2), "ada")
        world.run(experiment)
        sent(world, Notifying(world.core))
        assert len({request.identity for request in receiver.received}) == 2


@pytest.mark.parametrize(("status", "kind"), [(200, None), (500, "later"), (410, "message_failed")])
def test_a_hook_is_sent_a_message_once_however_long_what_came_of_it_cannot_be_written(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch, status: int, kind: str | None
) -> None:
    with Receiver([status]) as receiver:
        experiment = create(world, receiver.url)
        world.run(experiment)
        sending = Notifying(world.core)

        def refusing(durable: bool = True) -> None:
            raise StoreUnavailable("the store is read-only")

        with monkeypatch.context() as patched:
            patched.setattr(world.core.store, "transaction", refusing)
            for _ in range(4):
                sending.tick()
                until("the tries to end", lambda: not sending._sending)
                world.clock.pass_time(6.0)
        assert len(receiver.received) == 1
        world.clock.pass_time(6.0)
        sent(
            world,
            sending,
            lambda: [row.delivery_attempts for row in waiting(world)] == ([1] if kind == "later" else []),
        )
        assert len(receiver.received) == 1
    assert len(events(world, experiment, "message_failed")) == (kind == "message_failed")


def test_nothing_is_sent_while_the_disk_of_the_store_is_full(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as receiver:
        world.run(create(world, receiver.url))
        sending = Notifying(world.core)
        monkeypatch.setattr(world.core.store, "_full_at", world.clock.wall)
        sending.tick()
        assert not sending._sending
        world.clock.pass_time(15.0)
        sent(world, sending)
    assert len(receiver.received) == 1
