"""Process trees, the crew, settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestune.worker import settings
from orchestune.worker.metrics import usage
from orchestune.worker.metrics.gpus import Nvml
from orchestune.worker.processes import reaping, tree
from orchestune.worker.processes.orphans import Orphans
from orchestune.worker.thread_pool import ThreadPool


def test_descendants_are_found_by_parent_group_and_session() -> None:
    entry = tree.ProcessEntry
    table = {
        10: entry(10, 1, 10, 10, 0), 11: entry(11, 10, 10, 10, 0), 12: entry(12, 11, 12, 12, 0),
        13: entry(13, 1, 10, 10, 0), 14: entry(14, 1, 99, 10, 0), 15: entry(15, 14, 15, 15, 0),
        20: entry(20, 1, 20, 20, 0),
    }  # fmt: skip
    assert tree.descendants({10}, table) == {10, 11, 12, 13, 14, 15}


@pytest.fixture
def asleep() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start processes that sleep, and end them."""
    started = []

    def start(**environ: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "600"], env=environ))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.wait()


def test_children_and_their_attempt_are_seen(asleep: Callable[..., subprocess.Popen[bytes]]) -> None:
    child = asleep(**{tree.ATTEMPT_VARIABLE: "attempt-7"})
    children = tree.children()
    assert children is not None and child.pid in children
    assert tree.attempt_of(child.pid) == "attempt-7"
    assert tree.processes()[child.pid].parent == os.getpid()
    orphans = Orphans()
    mine = orphans.of("attempt-7", [], {"attempt-7", "other"}, orphans.children())
    assert child.pid in mine and child.pid not in orphans.of("other", [], {"attempt-7", "other"}, orphans.children())
    assert child.pid not in orphans.of("attempt-7", [child.pid], {"attempt-7"}, orphans.children())
    orphans.kill(child.pid)
    assert child.wait() == -signal.SIGKILL


def test_more_children_than_the_system_tells_at_once_are_all_seen(
    asleep: Callable[..., subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = {asleep().pid for _ in range(4)}
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, offset: read(file, min(size, 5), offset))
    assert pids <= (tree.adopted() or set())


@pytest.mark.parametrize(("release", "is_adopted"), [("3.10.0-1160.el7.x86_64", True), ("6.1.0-18-amd64", False)])
def test_children_of_other_threads_are_orphans_only_where_the_system_makes_them_so(
    asleep: Callable[..., subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, release: str, is_adopted: bool
) -> None:
    is_waiting, over, pids = threading.Event(), threading.Event(), []

    def work() -> None:
        pids.append(asleep().pid)
        is_waiting.set()
        over.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert is_waiting.wait(60)
        tree.main_thread_adopts.cache_clear()
        monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
        assert (pids[0] in (tree.adopted() or ())) is is_adopted
    finally:
        tree.main_thread_adopts.cache_clear()
        over.set()
        thread.join()


def test_a_process_without_a_mark_belongs_to_the_last_attempt_that_it_may_be_of(
    asleep: Callable[..., subprocess.Popen[bytes]],
) -> None:
    child = asleep()
    orphans = Orphans()
    assert child.pid not in orphans.of("a", [], {"a", "b"}, orphans.children())
    orphans.forget("a")
    assert child.pid not in orphans.of("c", [], {"b", "c"}, orphans.children())
    assert child.pid in orphans.of("b", [], {"b", "c"}, orphans.children())


def test_a_tree_s_memory_and_time_are_sampled() -> None:
    code = "import sys; b = bytearray(50_000_000); print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
        watched = {"x": usage.WatchedTree(child.pid), "gone": usage.WatchedTree(2**22 + 1)}
        samples = usage.sample(watched, Nvml())
        assert list(samples) == ["x"]
        assert 50_000_000 < samples["x"].memory < 100_000_000
        child.stdin.close()


def test_the_crew_tells_results_and_errors_where_it_is_asked() -> None:
    awake = threading.Semaphore(0)
    crew = ThreadPool(2, awake.release, "test")
    heard: list[object] = []
    crew.run(lambda: 1, lambda result, error: heard.append((result, error)))
    crew.run(lambda: 1 // 0, lambda result, error: heard.append((result, type(error))))
    assert crew.busy == 2
    for _ in range(2):
        assert awake.acquire(timeout=30)
    assert heard == []
    crew.deliver()
    assert sorted(map(str, heard)) == ["(1, None)", "(None, <class 'ZeroDivisionError'>)"]
    assert crew.busy == 0


def test_a_child_that_ends_disturbs_nobody_who_works_for_the_loop() -> None:
    awake = threading.Semaphore(0)
    crew = ThreadPool(1, awake.release, "test")
    masks: list[set[signal.Signals]] = []
    crew.run(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, []), lambda result, error: masks.append(result))
    assert awake.acquire(timeout=30)
    crew.deliver()
    assert masks == [{signal.SIGCHLD}]


def test_a_crew_that_gets_no_thread_says_so_and_works_once_it_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    awake = threading.Semaphore(0)
    crew = ThreadPool(1, awake.release, "test")
    heard: list[object] = []
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", start)
        crew.run(lambda: 1, lambda result, error: heard.append(error))
    crew.run(lambda: 2, lambda result, error: heard.append(result))
    for _ in range(2):
        assert awake.acquire(timeout=30)
    crew.deliver()
    assert isinstance(heard[0], OSError) and heard[1:] == [2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        ("{", "not a valid settings file"),
        ("[]", "not a valid settings file"),
        ('{"worker": "w", "slots": 1, "state": "/x"}', "'token' is missing"),
        ('{"token": "t", "worker": "w", "slots": "many", "state": "/x"}', "not a valid settings file"),
    ],
)
def test_wrong_settings_are_explained(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "worker.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(settings.SettingsError, match=message):
        settings.load({settings.FILE_VARIABLE: str(path)})


SETTINGS = '{"token": "secret", "worker": "w", "slots": 1, "state": "/x"}'


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_settings_that_others_can_write_are_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "worker.json"
    path.write_text(SETTINGS)
    path.chmod(mode)
    with pytest.raises(settings.SettingsError, match=f"other users can write to it, its mode is {mode:04o}"):
        settings.load({settings.FILE_VARIABLE: str(path)})


if os.geteuid() == 0:  # who is not root cannot give a file away

    def test_settings_of_another_user_are_refused_also_behind_a_link(tmp_path: Path) -> None:
        path, link = tmp_path / "theirs.json", tmp_path / "worker.json"
        path.write_text(SETTINGS)
        path.chmod(0o600)
        os.chown(path, 12345, 12345)
        link.symlink_to(path)
        with pytest.raises(settings.SettingsError, match="belongs to user 12345"):
            settings.load({settings.FILE_VARIABLE: str(link)})


@pytest.mark.parametrize("mode", [0o600, 0o444])
def test_settings_do_not_show_the_token(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "worker.json"
    path.write_text(SETTINGS)
    path.chmod(mode)
    assert "secret" not in repr(settings.load({settings.FILE_VARIABLE: str(path)}))


def test_files_that_came_with_the_start_stay_out_of_children() -> None:
    script = (
        "import os, subprocess, sys\n"
        "from orchestune.worker.processes import tree\n"
        "os.dup2(1, 77)\n"
        "if sys.argv[1] == 'keep': tree.keep_files_from_children()\n"
        "sys.exit(subprocess.run(['test', '-e', '/proc/self/fd/77'], close_fds=False).returncode)\n"
    )
    codes = [subprocess.run([sys.executable, "-c", script, how], check=False).returncode for how in ("leave", "keep")]
    assert codes == [0, 1]


def test_a_child_that_the_thread_which_starts_commands_has_waited_for_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child, look = os.posix_spawn("/bin/true", ["true"], {}), os.waitid

    def find(*_: int) -> object:
        child_state = look(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        os.waitpid(child, 0)
        return child_state

    monkeypatch.setattr(os, "waitid", find)
    assert list(reaping.reap_children({})) == []
