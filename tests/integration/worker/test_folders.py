"""The private view of the bundle, and what a trial leaves."""

from __future__ import annotations

import io
import signal
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestune.worker.connection.api import ServerConnection, ServerEndpoint
from orchestune.worker.files.bundle import BundleError, fetch
from orchestune.worker.files.checkpoint import restore
from orchestune.worker.files.uploads import FILES_PER_COMMIT
from tests.integration.worker.conftest import RunningWorker, bundle, until
from tests.integration.worker.fake_server import FakeServer

Serve = Callable[..., FakeServer]
Employ = Callable[..., RunningWorker]

PRINT_FILES = """
import os
seen = []
for folder, folders, files in sorted(os.walk(".")):
    for name in sorted(files):
        path = os.path.join(folder, name)
        seen.append(path + "=" + open(path).read())
print(";".join(seen))
print("loss=1")
"""
CHANGE_FILES = """
import os, shutil, sys
open("config.txt", "w").write("spoiled")
os.utime("config.txt", (0, 0))
open("new.txt", "w").write("new")
shutil.rmtree("package")
os.mkdir("package"); open("package/other.py", "w").write("x")
os.chmod("sub", 0o700); os.rename("sub/deep/file", "moved")
os.mkdir("locked"); open("locked/x", "w"); os.chmod("locked", 0)
"""
FILES: dict[str, str | bytes] = {
    "snoop.py": PRINT_FILES, "config.txt": "pristine", "package/module.py": "m", "sub/deep/file": "f",
    "link": "-> config.txt",
}  # fmt: skip


def test_a_trial_cannot_touch_what_another_one_sees(serve: Serve, employ: Employ) -> None:
    server = serve([sys.executable, "-c", "{code}"], parameters=["code"])
    server.slots = 1
    digest = server.give(bundle(FILES))
    employ(server)
    first = server.finished(server.queue({"code": PRINT_FILES}, bundle=digest))
    for _ in range(3):
        spoiled = server.finished(server.queue({"code": CHANGE_FILES}, bundle=digest))
        assert spoiled.finished is not None and spoiled.finished["state"] == "succeeded", spoiled.log
        after = server.finished(server.queue({"code": PRINT_FILES}, bundle=digest))
        assert bytes(after.log) == bytes(first.log)
    assert b"config.txt=pristine" in first.log and b"link=pristine" in first.log and b"sub/deep/file=f" in first.log


def test_a_quick_write_of_the_same_size_is_noticed(serve: Serve, employ: Employ) -> None:
    server = serve("cat data; echo; printf B > data; echo loss=1")
    server.slots = 1
    digest = server.give(bundle({"data": "A"}))
    attempts = [server.queue(bundle=digest) for _ in range(20)]
    employ(server)
    for attempt in attempts:
        assert bytes(server.finished(attempt).log) == b"A\nloss=1\n"


def test_paths_that_the_bundle_leaves_out_are_linked_in(serve: Serve, employ: Employ, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    (project / "data" / "train.csv").write_text("1,2")
    (project / "big.bin").write_text("big")
    (project / "code.py").write_text("not this one")
    server = serve(
        "cat data/train.csv big.bin deep/../code.py; rm -r data big.bin; echo $ORCHESTUNE_ORIGINAL_DIR",
        root=str(project),
        links=["data", "big.bin", "code.py", "absent"],
    )
    digest = server.give(bundle({"code.py": "code", "deep/x": ""}))
    attempts = [server.queue(bundle=digest) for _ in range(6)]
    employ(server)
    for attempt in attempts:
        assert bytes(server.finished(attempt).log) == b"1,2bigcode" + f"{project}\n".encode()
    assert (project / "data" / "train.csv").read_text() == "1,2"


def test_workers_of_a_machine_unpack_a_bundle_once(serve: Serve, employ: Employ) -> None:
    server = serve("cat data; sleep 0.3")
    digest = server.give(bundle({"data": "A"}))
    attempts = [server.queue(bundle=digest) for _ in range(12)]
    one, two = employ(server), employ(server)
    for attempt in attempts:
        assert bytes(server.finished(attempt).log) == b"A"
    assert one.state == two.state
    assert [path.name for path in (one.state / "bundles").iterdir()] == [digest]


@pytest.mark.parametrize("trouble", ["missing", "damaged", "escaping", "no archive"])
def test_a_bundle_that_cannot_be_used_is_no_fault_of_the_trial(serve: Serve, employ: Employ, trouble: str) -> None:
    server = serve("true")
    contents = {"escaping": bundle({"../out": "x"}), "no archive": b"rubbish"}
    digest = server.give(contents.get(trouble, bundle({"a": "b"})))
    if trouble == "missing":
        del server.blobs[digest]
    elif trouble == "damaged":
        server.blobs[digest] = bundle({"a": "c"})
    attempt = server.queue(bundle=digest)
    worker = employ(server)
    finished = server.finished(attempt).finished
    assert finished is not None and finished["state"] == "lost"
    assert finished["reason"]["code"] == "bundle_unavailable"
    assert not (worker.state / "out").exists()


def test_kept_files_arrive_and_those_over_the_limit_are_named(serve: Serve, employ: Employ) -> None:
    run = "mkdir -p plots/a; echo one > best.pt; echo two > plots/a/x.png; head -c 6000000 /dev/urandom > big; "
    run += "head -c 20000000 /dev/zero > huge; ln -s /etc/passwd plots/secret; echo loss=1"
    keep = {"patterns": ["best.pt", "plots", "big", "huge", "absent*"], "limit": 10_000_000}
    server = serve(run, keep=keep)
    attempts = [server.queue() for _ in range(3)]
    employ(server)
    for attempt in attempts:
        reports = server.finished(attempt)
        server.wait(partial(server.artifacts.get, attempt))
        files = {item["path"]: server.blobs[item["digest"]] for item in server.artifacts[attempt]}
        assert set(files) == {"best.pt", "plots/a/x.png", "big"}
        assert reports.finished is not None and reports.finished["files"] == 3
        assert files["plots/a/x.png"] == b"two\n" and len(files["big"]) == 6_000_000
        text = reports.log.decode()
        assert "skipped huge: " in text and "no file matches absent*" in text and "skipped plots/secret: " in text


def test_many_files_are_committed_some_at_a_time_and_none_again_after_trouble(serve: Serve, employ: Employ) -> None:
    server = serve("for i in $(seq 250); do echo $i > file-$i; done", keep={"patterns": ["file-*"], "limit": 10_000})
    calls: list[set[str]] = []
    more: list[bool] = []

    def fault(route: str, body: dict[str, Any]) -> str:
        if route == "artifacts":
            more.append(body.get("more", False))
            calls.append({item["path"] for item in body["files"]})
            return "503" if len(calls) == 2 else ""
        return ""

    server.fault = fault
    attempt = server.queue()
    employ(server)
    server.wait(lambda: len(server.artifacts.get(attempt, ())) == 250)
    assert [len(call) for call in calls] == [
        FILES_PER_COMMIT,
        FILES_PER_COMMIT,
        FILES_PER_COMMIT,
        250 - 2 * FILES_PER_COMMIT,
    ]
    assert calls[1] == calls[2] and not calls[0] & calls[1]
    assert more == [True, True, True, False]


def test_that_files_were_refused_is_told_until_the_server_has_heard_it(serve: Serve, employ: Employ) -> None:
    server = serve("echo one > best.pt; echo loss=1", keep={"patterns": ["best.pt"], "limit": 100})
    bodies: list[dict[str, Any]] = []

    def fault(route: str, body: dict[str, Any]) -> str:
        if route == "artifacts":
            bodies.append(body)
            return "503" if len(bodies) == 1 else ""
        return "413" if route == "uploads" else ""

    server.fault = fault
    attempt = server.queue()
    worker = employ(server)
    server.wait(lambda: attempt in server.artifacts)
    refused = {"attempt": attempt, "token": 1, "files": [], "refused": "told to say 413"}
    assert bodies == [refused, refused]
    until(lambda: not list((worker.state / "outbox" / worker.name).iterdir()), "an empty outbox")


def test_whether_files_are_on_their_way_is_told_with_the_end_of_their_trial_and_until_they_arrived(
    serve: Serve, employ: Employ
) -> None:
    server = serve("echo one > best.pt; echo loss=1", keep={"patterns": ["best.pt"], "limit": 100})
    states: list[tuple[int, bool]] = []
    full = True

    def fault(route: str, body: dict[str, Any]) -> str:
        if route == "work" and "sending" in body:
            states.append((body["sending"], bool(body.get("finished"))))
        return "503" if route == "uploads" and full else ""

    server.fault = fault
    attempt = server.queue()
    worker = employ(server)
    server.finished(attempt)
    assert (1, True) in states and not any(ended for sending, ended in states if not sending)
    server.drain = True
    full = False
    server.wait(lambda: attempt in server.artifacts)
    worker.wait()


def test_an_upload_goes_on_where_it_was_cut_off_even_in_another_worker(serve: Serve, employ: Employ) -> None:
    server = serve("head -c 13000000 /dev/urandom > big; echo loss=1", keep={"patterns": ["big"], "limit": 2**30})
    puts: list[str] = []

    def fault(route: str, body: dict[str, object]) -> str:
        if route == "uploads":
            puts.append(route)
            return "refuse" if len(puts) == 2 else "503" if len(puts) > 3 else ""
        return ""

    server.fault = fault
    attempt = server.queue()
    worker = employ(server)
    server.finished(attempt)
    until(lambda: len(puts) > 4, "an upload that was cut off")
    worker.guard.send_signal(signal.SIGKILL)
    worker.wait()
    until(lambda: not worker_runs(worker), "the end of the first worker")
    server.fault = lambda route, body: ""
    worker.start()
    server.wait(lambda: attempt in server.artifacts)
    assert server.artifacts[attempt][0]["size"] == 13_000_000
    until(lambda: not list((worker.state / "outbox" / worker.name).iterdir()), "an empty outbox")


SHORT_OR_LONG = """
if [ $0 = long ]; then trap 'exit 1' TERM; echo $$ > "$ORCHESTUNE_CHECKPOINT_DIR/state"; echo loss=2
while :; do date > "$ORCHESTUNE_CHECKPOINT_DIR/date"; sleep 0.5; done; fi
echo one > best.pt; echo loss=1
"""


def test_files_that_nobody_takes_hold_up_neither_checkpoints_nor_the_end_of_a_worker(
    serve: Serve, employ: Employ
) -> None:
    server = serve(
        ["sh", "-c", SHORT_OR_LONG, "{kind}"], parameters=["kind"], checkpoint_every=0.5, grace=20,
        keep={"patterns": ["best.pt"], "limit": 100},
    )  # fmt: skip
    server.fault = lambda route, body: "503" if route == "artifacts" else ""
    short = [server.queue({"kind": "short"}) for _ in range(6)]
    worker = employ(server)
    for attempt in short:
        server.finished(attempt)
    long = server.queue({"kind": "long"})
    server.wait(lambda: len(server.checkpoints) >= 2)
    worker.guard.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    finished = server.finished(long).finished
    assert finished is not None and finished["state"] == "preempted"
    assert len(list((worker.state / "outbox" / worker.name).iterdir())) == 6
    server.fault = lambda route, body: ""
    worker.start()
    for attempt in short:
        server.wait(partial(server.artifacts.get, attempt))


def worker_runs(worker: RunningWorker) -> bool:
    return "the guard has died" not in worker.log.read_text()


COUNTING = """
import os, signal, sys, time
folder = os.environ["ORCHESTUNE_CHECKPOINT_DIR"]
start = int(open(os.path.join(folder, "state")).read()) if "ORCHESTUNE_RESUMED_STEP" in os.environ else 0
print("resumed", os.environ.get("ORCHESTUNE_RESUMED_STEP"), start, flush=True)
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
for step in range(start + 1, start + 1000):
    with open(os.path.join(folder, "part"), "w") as file:
        file.write(str(step))
    os.replace(os.path.join(folder, "part"), os.path.join(folder, "state"))
    print("step=%d loss=%d" % (step, step), flush=True)
    if asked:
        break
    time.sleep(0.05)
"""


def restored(server: FakeServer, checkpoint: dict[str, object]) -> str:
    with tarfile.open(fileobj=io.BytesIO(server.blobs[str(checkpoint["digest"])])) as tar:
        file = tar.extractfile("state")
        assert file is not None
        return file.read().decode()


def test_checkpoints_are_published_on_the_interval_and_when_preempted_and_the_next_attempt_goes_on(
    serve: Serve, employ: Employ
) -> None:
    server = serve([sys.executable, "-c", COUNTING], checkpoint_every=0.5, grace=20)
    first = server.queue()
    employ(server)
    server.wait(lambda: len(server.checkpoints) >= 2)
    assert int(restored(server, server.checkpoints[0])) < int(restored(server, server.checkpoints[1]))
    server.stop_attempt(first, "preempted")
    reports = server.finished(first)
    assert reports.finished is not None and reports.finished["state"] == "preempted"
    last = server.checkpoints[-1]
    assert float(restored(server, last)) == last["step"] == reports.values("loss")[-1]
    second = server.queue(checkpoint={"digest": last["digest"], "step": last["step"]}, number=2)
    server.wait(lambda: server.attempts[second].values("loss"))
    assert bytes(server.attempts[second].log).startswith(f"resumed {last['step']} {last['step']}\n".encode())
    server.stop_attempt(second)
    server.finished(second)


def test_a_checkpoint_may_be_larger_than_any_code(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestune.worker.files.bundle.MAX_UNPACKED_BYTES", 10)
    fake = serve("true")
    server = ServerEndpoint(fake.url, None, fake.token, "w1")
    digest = fake.give(bundle({"layers/model.bin": "w" * 1000}))
    with closing(ServerConnection(server)) as connection, pytest.raises(BundleError, match="too large"):
        fetch(tmp_path / "bundles", digest, connection)
    restore(server, digest, tmp_path / "checkpoint")
    assert (tmp_path / "checkpoint/layers/model.bin").read_text() == "w" * 1000


REPORTING = """
import json, os, time
folder, metrics = os.environ["ORCHESTUNE_CHECKPOINT_DIR"], os.environ["ORCHESTUNE_METRICS"]
with open(metrics, "a") as file:
    file.write(json.dumps({"loss": 0.5, "step": 7}) + chr(10))
time.sleep(0.5)
with open(os.path.join(folder, "part"), "w") as file:
    file.write("7")
os.replace(os.path.join(folder, "part"), os.path.join(folder, "state"))
time.sleep(600)
"""


def preempt_the_first(server: FakeServer, employ: Employ) -> None:
    """Let an attempt run until it has reported, and take it back."""
    first = server.queue()
    employ(server)
    server.wait(lambda: server.attempts[first].values("loss"))
    server.stop_attempt(first, "preempted")
    server.finished(first)


def test_a_trial_goes_on_from_a_checkpoint_whose_step_is_no_number(serve: Serve, employ: Employ) -> None:
    server = serve([sys.executable, "-c", COUNTING], checkpoint_every=600, grace=20)
    preempt_the_first(server, employ)
    second = server.queue(checkpoint={"digest": server.checkpoints[-1]["digest"], "step": "nan"}, number=2)
    server.wait(lambda: server.attempts[second].values("loss"))
    assert server.attempts[second].values("loss")[0] > 1


def test_a_checkpoint_knows_the_step_that_was_told_in_a_file_before_it(serve: Serve, employ: Employ) -> None:
    server = serve([sys.executable, "-c", REPORTING], checkpoint_every=0.4)
    attempt = server.queue()
    employ(server)
    server.wait(lambda: server.checkpoints)
    first = server.checkpoints[0]
    assert int(restored(server, first)) == first["step"] == 7
    assert float(str(first["age"])) >= 0, "the server compares it with what came by HTTP"
    server.stop_attempt(attempt)
    server.finished(attempt)


def test_who_is_interrupted_before_the_first_report_hands_on_the_step_it_began_with(
    serve: Serve, employ: Employ
) -> None:
    server = serve([sys.executable, "-c", COUNTING], checkpoint_every=600, grace=20)
    preempt_the_first(server, employ)
    last = server.checkpoints[-1]
    silent = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); print(1); time.sleep(60)"
    server.job["run"], server.job["revision"] = [sys.executable, "-uc", silent], 2
    second = server.queue(checkpoint={"digest": last["digest"], "step": last["step"]}, number=2)
    server.wait(lambda: bytes(server.attempts[second].log).startswith(b"1"))
    server.stop_attempt(second, "preempted")
    server.finished(second)
    assert len(server.checkpoints) == 2
    assert server.checkpoints[1]["step"] == last["step"]


def test_a_trial_whose_checkpoint_was_removed_begins_anew_and_says_so(serve: Serve, employ: Employ) -> None:
    server = serve([sys.executable, "-c", COUNTING], checkpoint_every=600, grace=20)
    lost = {"digest": "0" * 64, "step": 7}
    again, asked_for = server.queue(checkpoint=lost, number=2), server.queue(checkpoint=lost, number=1)
    employ(server)
    server.wait(lambda: server.attempts[again].values("loss"))
    text = server.attempts[again].log.decode()
    assert text.startswith(
        "orchestune: this trial restarts from the beginning because its checkpoint is lost: there is no 000"
    )
    assert "resumed None 0" in text
    server.stop_attempt(again)
    server.finished(again)
    finished = server.finished(asked_for).finished
    assert finished is not None and finished["state"] == "lost", "it asked for this trial and starts no other"


def test_sigterm_to_the_worker_publishes_checkpoints_first(serve: Serve, employ: Employ) -> None:
    server = serve([sys.executable, "-c", COUNTING], checkpoint_every=600, grace=20)
    attempt = server.queue()
    worker = employ(server)
    server.wait(lambda: server.attempts[attempt].values("loss"))
    worker.guard.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert len(server.checkpoints) == 1
    assert float(restored(server, server.checkpoints[0])) == server.attempts[attempt].values("loss")[-1]
