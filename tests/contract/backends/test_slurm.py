from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestune.backends.slurm.plan import is_named_for
from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Resources
from orchestune.errors import TemporaryError
from orchestune.ports.backend import Phase, WorkerLoss
from tests.contract.backend_contract import BackendContract, new_order, wait_for_phase, wait_until
from tests.contract.backends.slurm_place import Jobs
from tests.testbeds.slurm import Slurm

pytestmark = pytest.mark.slurm


@pytest.fixture
def place(slurm: Slurm, tmp_path: Path) -> Iterator[Jobs]:
    jobs = Jobs(slurm, tmp_path)
    yield jobs
    jobs.clear()


class TestSlurmBackend(BackendContract):
    """The contract, with a worker that does nothing."""


def test_a_job_whose_number_was_never_noted_is_found_by_its_name_and_not_submitted_twice(place: Jobs) -> None:
    backend, order = place.on_slurm(), new_order()
    handle = backend.start(order)
    (place.state / "slurm" / "workers" / order.worker / "job.json").unlink()
    assert place.on_slurm().start(order) == handle
    assert [state for state, name in place.slurm.jobs().values() if is_named_for(name, order.worker)] in (
        ["PENDING"],
        ["RUNNING"],
        ["CONFIGURING"],
    )


def test_what_could_not_be_submitted_yet_is_submitted_later_though_it_was_looked_for(place: Jobs) -> None:
    backend, order = place.on_slurm(()), new_order()
    with pytest.raises(TemporaryError, match="is being built"):
        backend.start(order)
    assert [sighting.phase for sighting in backend.observe({order.worker: {}})] == [Phase.GONE]

    def started() -> bool:
        try:
            return bool(backend.start(order))
        except TemporaryError:
            return False

    wait_until(started)
    wait_for_phase(backend, order.worker, {}, Phase.RUNNING)


def test_a_job_of_somebody_else_that_has_the_number_now_is_left_alone(place: Jobs) -> None:
    backend, order = place.on_slurm(), new_order()
    backend.start(order)
    other = place.slurm.say("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 600").strip()
    (place.state / "slurm" / "workers" / order.worker / "job.json").write_text(json.dumps({"job": other}))
    again = place.on_slurm()
    (sighting,) = again.observe({order.worker: {"job": other}})
    assert (sighting.phase, sighting.reason) == (Phase.GONE, f"Slurm no longer knows its job {other}")
    again.terminate(order.worker, {"job": other}, 0.0)
    again.sweep(frozenset())
    assert place.slurm.jobs("pending,running,configuring")[other][1] == "wrap"


def test_a_node_that_does_not_see_the_shared_folder_is_named(place: Jobs) -> None:
    backend, order = place.on_slurm(), new_order()
    blocked = [
        place.slurm.say("sbatch", "--parsable", "--exclusive", "--output=/dev/null", "--wrap=sleep 600").strip()
        for _ in range(2)
    ]
    handle = backend.start(order)
    place.shared.rename(place.shared.with_name("elsewhere"))
    place.slurm.say("scancel", *blocked)
    sighting = wait_for_phase(backend, order.worker, handle, Phase.GONE)
    assert sighting.loss is WorkerLoss.REFUSED
    assert f"does not see {place.shared}" in sighting.reason
    assert any(node in sighting.reason for node in place.slurm.cpus)


def test_what_no_server_wants_any_more_is_cancelled(place: Jobs) -> None:
    backend, current, orphan = place.on_slurm(), new_order(), new_order()
    backend.start(current), backend.start(orphan)
    place.on_slurm().sweep(frozenset({current.worker}))
    wait_for_phase(backend, orphan.worker, {}, Phase.GONE)
    wait_until(lambda: not place.belongings(orphan.worker))
    wait_for_phase(backend, current.worker, {}, Phase.RUNNING)


def test_a_controller_that_is_away_is_waited_for(place: Jobs) -> None:
    backend, order = place.on_slurm(), new_order()
    handle = backend.start(order)
    wait_for_phase(backend, order.worker, handle, Phase.RUNNING)
    place.slurm.stop()
    try:
        with pytest.raises(TemporaryError):
            place.on_slurm().observe({order.worker: handle})
        with pytest.raises(TemporaryError):
            backend.start(new_order())
        backend.check(Resources(), Placement())  # unknown
    finally:
        place.slurm.start()
    wait_for_phase(place.on_slurm(), order.worker, handle, Phase.RUNNING)
    with pytest.raises(TemporaryError):
        backend.start(new_order())  # it gives the controller a rest, so that other places do not wait for it


def test_the_log_of_a_worker_that_died_is_in_its_reason(place: Jobs) -> None:
    backend, order = place.on_slurm(), new_order({"env": {"STAND_IN": "dies"}})
    sighting = wait_for_phase(backend, order.worker, backend.start(order), Phase.GONE)
    assert "exit code 3" in sighting.reason and "the moon is full" in sighting.reason


def test_quarantined_machines_are_left_out(place: Jobs) -> None:
    backend = place.on_slurm()
    shut, free = place.slurm.cpus
    order = replace(new_order(), avoid=frozenset({shut, "no node of Slurm"}))
    assert wait_for_phase(backend, order.worker, backend.start(order), Phase.RUNNING).node == free
