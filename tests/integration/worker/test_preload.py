"""Trials that are copies of a process which has imported what they need: everything is as without it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.worker.conftest import RunningWorker, bundle, read_pids, until
from tests.integration.worker.fake_server import FakeServer
from tests.testbeds.processes import alive, children_of

Serve = Callable[..., FakeServer]
Employ = Callable[..., RunningWorker]

HEAVY = """
import os
with open(os.environ["COUNT"], "a") as file:
    file.write("imported\\n")
"""
PROBE = """
import json, os, resource, signal, sys, threading
main = sys.modules["__main__"]
loaded = "heavy" in sys.modules
import heavy
class Point: pass
import pickle
print(json.dumps({
    "loaded": loaded,
    "argv": sys.argv,
    "orig_argv": getattr(sys, "orig_argv", None),
    "executable": sys.executable,
    "path": sys.path,
    "flags": str(sys.flags),
    "name": __name__,
    "file": globals().get("__file__"),
    "main": sorted(name for name in vars(main) if name.startswith("__")),
    "spec": str(main.__spec__ and main.__spec__.name),
    "package": __package__,
    "pickled": isinstance(pickle.loads(pickle.dumps(Point())), Point),
    "cwd": os.getcwd() == os.environ["PWD"] or os.listdir("."),
    "environ": {k: v for k, v in os.environ.items() if k not in ("LC_CTYPE",)},
    "leads": os.getpgrp() == os.getpid() == os.getsid(0),
    "limits": [resource.getrlimit(each) for each in range(16)],
    "signals": {s: str(signal.getsignal(s)) for s in signal.valid_signals()},
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "threads": [thread.name for thread in threading.enumerate()],
    "files": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:3],
    "inherited": [fd for fd in range(3, 200) if os.path.exists(f"/proc/self/fd/{fd}") and os.get_inheritable(fd)],
    "stdin": sys.stdin.read(),
    "buffering": [sys.stdout.line_buffering, sys.stdout.write_through, sys.stdout.encoding, sys.stderr.errors],
    "mark": os.environ["ORCHESTUNE_ATTEMPT_ID"].encode() in open("/proc/self/environ", "rb").read(),
}))
"""


class Modules:
    """Modules that are installed for the user's Python, and how often `heavy` was imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site"
        self.folder.mkdir()
        self.count = folder / "count"
        self.count.touch()
        self.add("heavy", HEAVY)
        self.env = {"PYTHONPATH": str(self.folder), "COUNT": str(self.count), "PYTHONHASHSEED": "1"}

    def add(self, name: str, text: str) -> None:
        (self.folder / f"{name}.py").write_text(text)

    @property
    def imported(self) -> int:
        return len(self.count.read_text().splitlines())


@pytest.fixture
def modules(tmp_path: Path) -> Modules:
    return Modules(tmp_path)


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


def log_of(server: FakeServer, attempt: str) -> str:
    return bytes(server.finished(attempt).log).decode()


@pytest.mark.parametrize(
    "words",
    [
        ["train.py", "--lr={lr}", "-x", ""],
        ["-u", "-X", "dev", "-O", "-W", "ignore", "sub/train.py", "{lr}"],
        ["-m", "sub.train", "--lr={lr}"],
        ["./link.py"],
    ],
)
def test_a_program_finds_everything_as_if_it_were_started(
    serve: Serve, employ: Employ, modules: Modules, words: list[str]
) -> None:
    files = {"train.py": PROBE, "sub/train.py": PROBE, "link.py": "-> sub/train.py"}
    environments: list[dict[str, Any]] = []
    for preload in ([], ["heavy"]):
        server = serve(python(*words), preload=preload, env=modules.env, parameters=["lr"], stdin="json", slots=1)
        digest = server.give(bundle(files))
        attempts = [server.queue({"lr": 0.1}, bundle=digest) for _ in range(2)]
        worker = employ(server, name="same")
        reports = [server.finished(attempt) for attempt in attempts]
        worker.kill()
        assert [each.finished and each.finished["state"] for each in reports] == ["succeeded"] * 2, reports[0].log
        documents = [json.loads(bytes(each.log).decode().splitlines()[-1]) for each in reports]
        assert [document.pop("loaded") for document in documents] == [bool(preload)] * 2
        for document, attempt in zip(documents, attempts, strict=True):
            assert document["environ"].pop("ORCHESTUNE_ATTEMPT_ID") == attempt
            for name in ("ORCHESTUNE_TRIAL", "ORCHESTUNE_REPORT_URL"):
                document["environ"].pop(name)
        environments.append(documents[-1])
    assert environments[0] == environments[1]
    assert environments[1]["mark"] and environments[1]["leads"]
    assert modules.imported == 3  # twice without, once with


def test_what_is_imported_is_imported_once_for_all(serve: Serve, employ: Employ, modules: Modules) -> None:
    server = serve(python("train.py"), preload=["heavy"], env=modules.env)
    digest = server.give(bundle({"train.py": "import heavy, os; print(f'loss={os.getpid()}')"}))
    attempts = [server.queue(bundle=digest) for _ in range(40)]
    employ(server)
    values = [server.finished(attempt).values("loss")[0] for attempt in attempts]
    assert len(set(values)) == 40
    assert modules.imported == 1


@pytest.mark.parametrize(
    ("text", "code", "traceback_text"),
    [
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no luck')", 1, "no luck"),
        ("raise SystemExit", 0, ""),
        ("def f():\n  raise ValueError('bad')\nf()", 1, 'train.py", line 3, in <module>'),
        ("x = = 1", 1, "SyntaxError"),
        ("import atexit; atexit.register(print, 'bye')", 0, "bye"),
        (
            "import threading, time; threading.Thread(target=lambda: (time.sleep(0.2), print('late'))).start()",
            0,
            "late",
        ),
        ("import os; os._exit(9)", 9, ""),
        ("import sys; sys.excepthook = lambda *a: print('own hook', len(a)); 1 / 0", 1, "own hook 3"),
    ],
)
def test_a_program_ends_as_if_it_were_started(
    serve: Serve, employ: Employ, modules: Modules, text: str, code: int, traceback_text: str
) -> None:
    logs = []
    for preload in ([], ["heavy"]):
        server = serve(python("train.py"), preload=preload, env=modules.env, slots=1)
        attempt = server.queue(bundle=server.give(bundle({"train.py": text})))
        worker = employ(server, name="same")
        reports = server.finished(attempt)
        worker.kill()
        assert reports.finished is not None
        assert (reports.finished["exit_code"], reports.finished["signal"]) == (code, None)
        logs.append(bytes(reports.log).decode())
    assert logs[0] == logs[1]
    assert traceback_text.replace("{path}", "") in logs[1].replace(
        os.path.dirname(logs[1].partition('"')[2].partition('"')[0]), ""
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", signal.SIGSEGV),
        ("raise KeyboardInterrupt", signal.SIGINT),
    ],
)
def test_a_signal_ends_it_and_is_told(
    serve: Serve, employ: Employ, modules: Modules, text: str, number: signal.Signals
) -> None:
    server = serve(python("train.py"), preload=["heavy"], env=modules.env)
    attempt = server.queue(bundle=server.give(bundle({"train.py": text})))
    employ(server)
    finished = server.finished(attempt).finished
    assert finished is not None and finished["signal"] == number


def test_random_numbers_differ_from_trial_to_trial(serve: Serve, employ: Employ, modules: Modules) -> None:
    text = "import random, numpy; print(random.random(), numpy.random.rand())"
    server = serve(python("train.py"), preload=["random", "numpy"], env={**modules.env, "OMP_NUM_THREADS": "1"})
    digest = server.give(bundle({"train.py": text}))
    attempts = [server.queue(bundle=digest) for _ in range(5)]
    employ(server)
    numbers = [tuple(log_of(server, attempt).split()) for attempt in attempts]
    assert len({one for one, _ in numbers}) == len({two for _, two in numbers}) == 5


def test_all_that_a_program_started_is_ended_with_it(
    serve: Serve, employ: Employ, modules: Modules, tmp_path: Path
) -> None:
    """Also processes that are mere copies of it, in sessions of their own, known only by their environment."""
    text = f"""
import os, pathlib, time
here, own = pathlib.Path({str(tmp_path)!r}), os.getpid()
for name in "ab":
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        (here / f"{{own}}-{{name}}.part").write_text(str(os.getpid()))
        os.rename(here / f"{{own}}-{{name}}.part", here / f"{{own}}-{{name}}.pid")
        time.sleep(600)
while len(list(here.glob(f"{{own}}-*.pid"))) < 2: time.sleep(0.01)
if TAIL: time.sleep(600)
"""
    server = serve(python("{which}.py"), preload=["heavy"], env=modules.env, parameters=["which"], grace=0.2)
    digest = server.give(bundle({"ends.py": text.replace("TAIL", "False"), "stays.py": text.replace("TAIL", "True")}))
    stays = server.queue({"which": "stays"}, bundle=digest)
    employ(server)
    theirs = read_pids(tmp_path, 2)
    server.finished(server.queue({"which": "ends"}, bundle=digest))
    assert all(alive(pid) for pid in theirs)
    others = [pid for pid in read_pids(tmp_path, 4) if pid not in theirs]
    until(lambda: not any(alive(pid) for pid in others), "the end of what the other trial left")
    server.stop_attempt(stays)
    server.finished(stays)
    until(lambda: not any(alive(pid) for pid in theirs), "the end of what the trial left")


def test_a_worker_that_is_killed_leaves_nothing(serve: Serve, employ: Employ, modules: Modules, tmp_path: Path) -> None:
    text = f"import os, time; open({str(tmp_path)!r} + '/own.pid', 'w').write(str(os.getpid())); time.sleep(600)"
    server = serve(python("train.py"), preload=["heavy"], env=modules.env)
    server.queue(bundle=server.give(bundle({"train.py": text})))
    worker = employ(server)
    (own,) = read_pids(tmp_path, 1)
    everything = {own, *children_of(worker.pid)}
    assert len(everything) == 2  # the program, and the process that it is a copy of
    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in everything), "the end of what the worker started")


def test_a_process_that_was_killed_is_started_again(
    serve: Serve, employ: Employ, modules: Modules, tmp_path: Path
) -> None:
    server = serve(python("train.py"), preload=["heavy"], env=modules.env, slots=1)
    digest = server.give(bundle({"train.py": "import sys; print('heavy' in sys.modules)"}))
    worker = employ(server)
    assert log_of(server, server.queue(bundle=digest)) == "True\n"
    (zygote,) = children_of(worker.pid)
    os.kill(zygote, signal.SIGKILL)
    until(lambda: zygote not in children_of(worker.pid), "the worker to hear of it")
    assert log_of(server, server.queue(bundle=digest)) == "True\n"
    assert modules.imported == 2


def test_a_process_that_does_not_answer_delays_a_trial_and_no_more(
    serve: Serve, employ: Employ, modules: Modules
) -> None:
    server = serve(python("train.py"), preload=["heavy"], env=modules.env, slots=1)
    digest = server.give(bundle({"train.py": "import sys; print('heavy' in sys.modules)"}))
    worker = employ(server)
    assert log_of(server, server.queue(bundle=digest)) == "True\n"
    (zygote,) = children_of(worker.pid)
    os.kill(zygote, signal.SIGSTOP)
    assert log_of(server, server.queue(bundle=digest)) == "False\n"
    assert log_of(server, server.queue(bundle=digest)) == "True\n"


@pytest.mark.parametrize(
    ("run", "preload", "why"),
    [
        (["sh", "train.sh"], ["heavy"], "the command is 'sh' (expected Python with a script or module)"),
        ("python3 train.py | cat", ["heavy"], "the command needs a shell"),
        (["python3", "-c", "print('ran')"], ["heavy"], "the command passes -c to Python"),
        (["python3", "train.py"], ["no_such"], "no_such cannot be imported: ModuleNotFoundError"),
        (["python3", "train.py"], ["dies"], "the process that imports the modules has exited"),
        (["python3", "train.py"], ["leaves"], "leaves cannot be imported: SystemExit"),
        (["python3", "train.py"], ["threads"], "importing starts threads (busy)"),
        (["python3", "train.py"], ["torch"], "importing initializes CUDA"),
        (["python3", "mine.py"], ["helper"], "the project has a module helper of its own"),
    ],
)
def test_where_it_cannot_be_used_trials_run_as_usual_and_it_says_why(
    serve: Serve, employ: Employ, modules: Modules, run: Any, preload: list[str], why: str
) -> None:
    modules.add("dies", "import os; os._exit(3)")
    modules.add("leaves", "raise SystemExit(2)")
    modules.add("threads", "import threading; threading.Thread(target=threading.Event().wait, name='busy').start()")
    modules.add("torch", "class cuda:\n    is_initialized = staticmethod(lambda: True)")
    modules.add("helper", "kind = 'installed'")
    files = {
        "train.py": "print('ran')", "train.sh": "echo ran", "helper.py": "kind = 'ran'",
        "mine.py": "import helper; print(helper.kind)",
    }  # fmt: skip
    environ = {**modules.env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    server = serve(run, preload=preload, env=environ, slots=1)
    digest = server.give(bundle(files))
    attempts = [server.queue(bundle=digest) for _ in range(2)]
    employ(server)
    logs = [log_of(server, attempt) for attempt in attempts]
    assert why in logs[0]
    assert all(log.endswith("ran\n") for log in logs)


def test_a_script_that_is_not_there_is_told_as_python_does(serve: Serve, employ: Employ, modules: Modules) -> None:
    server = serve(python("nowhere.py"), preload=["heavy"], env=modules.env)
    attempt = server.queue()
    employ(server)
    reports = server.finished(attempt)
    assert reports.finished is not None and reports.finished["exit_code"] == 2
    assert "can't open file" in bytes(reports.log).decode()


def test_processes_of_multiprocessing_find_their_program(serve: Serve, employ: Employ, modules: Modules) -> None:
    text = """
import multiprocessing, sys
def square(x): return x * x
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, pool.map(square, [1, 2, 3]))
"""
    server = serve(python("train.py"), preload=["heavy"], env=modules.env)
    attempt = server.queue(bundle=server.give(bundle({"train.py": text})))
    employ(server)
    assert log_of(server, attempt) == "".join(f"{name} [1, 4, 9]\n" for name in ("fork", "spawn", "forkserver"))
