from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orchestune.backends.docker.worker_folder import WorkerFolder, all_worker_folders
from orchestune.backends.worker_notes import WorkerEnd
from orchestune.domain.resources.placement import Placement, Volume
from orchestune.domain.resources.resources import Resources
from orchestune.errors import UsageError
from orchestune.ports.backend import WorkerLoss, WorkerOrder

ORDER = WorkerOrder(
    "w-1",
    "e-1",
    "the-token",
    1,
    gpus=("GPU-1",),
    launch={"root": "/p", "links": ["data"], "env": {"PATH": "/mine"}},
    each=Resources(1.5, 2**30, 1),
    placement=Placement("image:1", shm=2**20, volumes=(Volume("/d", path="/srv"),)),
    handle="sgd-7f3a",
    owner="ada",
    grace=3.0,
)


def test_an_order_is_read_as_it_was_written_without_the_shells_environment(tmp_path: Path) -> None:
    place = WorkerFolder(tmp_path / "workers", "w-1")
    place.take(ORDER)
    order = WorkerFolder(tmp_path / "workers", "w-1").order()
    assert order is not None
    assert order.launch == {"root": "/p", "links": ["data"]}
    assert order == WorkerOrder(**{**vars(ORDER), "launch": order.launch})


def test_an_order_can_be_read_by_its_owner_alone_and_goes_once_its_container_runs(tmp_path: Path) -> None:
    place = WorkerFolder(tmp_path / "workers", "w-1")
    place.take(ORDER)
    file = place.path / "order.json"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place.path, file)] == [0o700, 0o600]
    place.note_started("orchestune-1")
    place.take(ORDER)
    assert (place.order(), place.started()) == (None, "orchestune-1")
    assert all("the-token" not in path.read_text() for path in place.path.iterdir())


def test_a_verdict_stays_and_is_the_end_of_the_order(tmp_path: Path) -> None:
    place = WorkerFolder(tmp_path / "workers", "w-1")
    place.take(ORDER)
    place.note_end(WorkerEnd(WorkerLoss.REFUSED, "no image"), ["a line"])
    place.take(ORDER)
    again = WorkerFolder(tmp_path / "workers", "w-1")
    assert (again.order(), again.end()) == (None, WorkerEnd(WorkerLoss.REFUSED, "no image"))
    assert [folder.worker for folder in all_worker_folders(tmp_path / "workers")] == ["w-1"]
    again.remove()
    assert list(all_worker_folders(tmp_path / "workers")) == []


def test_of_several_times_to_end_the_earliest_holds(tmp_path: Path) -> None:
    place = WorkerFolder(tmp_path / "workers", "w-1")
    place.take(ORDER)
    assert place.kill_at() is None
    for at in (20.0, 30.0, 10.0):
        place.note_ending(at)
    assert place.kill_at() == 10.0


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
def test_an_id_that_is_no_name_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        WorkerFolder(tmp_path, name)
