"""Runs an experiment while everything around it is killed, frozen and cut off, and looks at what came out.

python -m tests.chaos.driver --faults 1000        # the long run of `make chaos`; prints a table
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestune.store.log_compression import unpacked
from tests.chaos.proxy import Proxy
from tests.testbeds.ports import free_port
from tests.testbeds.processes import children_of

LEASE_SECONDS = 4.0
COMMAND = 'i=0; while [ $i -lt 4 ]; do echo "line $i"; i=$((i+1)); sleep 0.1; done; echo loss={x}'
LINES = ["line 0", "line 1", "line 2", "line 3"]
DEADLINE_SECONDS = 3600.0


@dataclass
class Outcome:
    """The faults that were injected, and the violations found afterwards."""

    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    most_live: int = 0
    resumed: int = 0
    wrong: list[str] = field(default_factory=list)


class Server:
    """The hosted server as a process of its own, reached by workers through the proxy alone."""

    def __init__(self, state: Path, chance: random.Random) -> None:
        self.state = state
        self.port = free_port()
        self.proxy = Proxy(self.port, chance)
        self.tokens = state / "owners"
        self.tokens.write_text("chaos the-owners-token-of-this-run\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.log = (state / "server.log").open("ab")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        command = [sys.executable, "-m", "orchestune", "server", "--port", str(self.port), "--state", str(self.state)]
        command += ["--public-url", f"http://127.0.0.1:{self.proxy.port}", "--token-file", str(self.tokens)]
        command += ["--lease-seconds", str(LEASE_SECONDS), "--beat-seconds", "0.5"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, start_new_session=True)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask("GET", "/readyz", raw=True) is not None:
                    return
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {(self.state / 'server.log').read_text()[-2000:]}")
            time.sleep(0.05)
        raise RuntimeError("the server does not get ready")

    def kill(self) -> None:
        """kill -9, and start it again."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.start()

    def ask(self, method: str, path: str, body: object = None, raw: bool = False) -> Any:
        """One request of the owner, past the proxy."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"Authorization": "Bearer the-owners-token-of-this-run", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
            if response.status >= 300:
                raise http.client.HTTPException(f"{method} {path}: {response.status} {content[:500]!r}")
            return content if raw else json.loads(content)
        finally:
            connection.close()

    def close(self) -> None:
        """End it, and the proxy."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
        self.proxy.close()
        self.log.close()


def processes(marker: str) -> dict[int, dict[str, str]]:
    """Every process whose environment holds `marker`: pid → environment."""
    variables = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            text = (entry / "environ").read_bytes().decode("utf-8", "replace")
            if marker in text and "\0" in text:
                variables[int(entry.name)] = dict(item.split("=", 1) for item in text.split("\0") if "=" in item)
    return variables


class Chaos:
    """One run."""

    def __init__(self, state: Path, budget: int, parallelism: int, seed: int, folds: int = 1) -> None:
        self.state, self.budget, self.parallelism, self.folds = state, budget, parallelism, folds
        self.chance = random.Random(seed)
        self.outcome = Outcome()
        self.frozen: dict[int, float] = {}
        self.server = Server(state, random.Random(seed + 1))
        self.experiment = self._create()

    def _create(self) -> str:
        specification = {
            "name": "chaos",
            "run": COMMAND,
            "parameters": [{"name": "x", "type": "float", "min": 0.0, "max": 1.0}],
            "metrics": [{"name": "loss", "goal": "minimize"}],
            "budget": self.budget,
            "parallelism": self.parallelism,
            "folds": {"count": self.folds},
            "engine": "random",
            "grace": 1.0,
        }
        launch = {"env": {"PATH": os.environ["PATH"], "CHAOS_MARKER": str(self.state)}}
        body = {"specification": specification, "bundle": None, "cluster": "local", "folder": "", "launch": launch}
        return str(self.server.ask("POST", "/api/v1/experiments", body)["id"])

    def workers(self) -> list[int]:
        """The pids of the guards, as the store's handles have them."""
        with self._database() as database:
            rows = database.execute(
                "SELECT backend_handle FROM workers WHERE state IN ('starting', 'alive') AND backend_handle IS NOT NULL"
            )
            return [json.loads(row[0])["pid"] for row in rows.fetchall()]

    def commands(self) -> list[int]:
        """Pids of the users' processes."""
        return [pid for pid, environ in processes(str(self.state)).items() if "ORCHESTUNE_ATTEMPT" in environ]

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(f"file:{self.state / 'orchestune.db'}?mode=ro", uri=True, timeout=30)
        try:
            yield database
        finally:
            database.close()

    def run(self, faults: int, pause: float) -> Outcome:
        """Do so many faults, as long as the experiment lasts; extend it where it ends before they are done."""
        began = time.monotonic()
        self.server.proxy.rate = 0.08
        while sum(self.outcome.faults.values()) < faults:
            if time.monotonic() - began > DEADLINE_SECONDS:
                self.outcome.wrong.append("the faults were not done in time")
                break
            self._look()
            if self._state() in ("completed", "failed"):
                self.budget += 100
                self.server.ask("PATCH", f"/api/v1/experiments/{self.experiment}", {"budget": self.budget})
            self._fault()
            self._count_messages()
            time.sleep(self.chance.uniform(0.2, 1.8) * pause)
        self.server.proxy.rate = 0.0
        self._thaw(everything=True)
        self._finish()
        self._count_messages()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _fault(self) -> None:
        kinds = (
            ["kill worker"] * 3
            + ["kill guard"] * 3
            + ["freeze worker"] * 3
            + ["kill command"] * 2
            + ["kill server"] * 2
        )
        kind = self.chance.choice(kinds)
        self._thaw()
        workers = [pid for pid in self.workers() if pid not in self.frozen]
        if kind == "kill server":
            self.server.kill()
        elif kind == "kill command":
            commands = self.commands()
            if not commands:
                return
            _signal(self.chance.choice(commands), signal.SIGKILL)
        elif not workers:
            return
        elif kind == "kill guard":
            _signal(self.chance.choice(workers), signal.SIGKILL)
        else:
            inner = children_of(self.chance.choice(workers))
            if not inner:
                return
            if kind == "kill worker":
                _signal(inner[0], signal.SIGKILL)
            else:
                _signal(inner[0], signal.SIGSTOP)
                self.frozen[inner[0]] = time.monotonic() + self.chance.uniform(0.5, 2.0) * LEASE_SECONDS
        self.outcome.faults[kind] += 1

    def _thaw(self, everything: bool = False) -> None:
        for pid, until in list(self.frozen.items()):
            if everything or time.monotonic() >= until:
                _signal(pid, signal.SIGCONT)
                del self.frozen[pid]

    def _count_messages(self) -> None:
        for kind, count in self.server.proxy.counts.items():
            self.outcome.faults[f"reply {kind}"] = count

    def _state(self) -> str:
        status = self.server.ask("GET", f"/api/v1/experiments/{self.experiment}")
        if status["state"] == "paused":  # an innocent trial may have lost its worker too often: a person would resume
            self.outcome.resumed += 1
            self.server.ask("POST", f"/api/v1/experiments/{self.experiment}/resume", {})
        return str(status["state"])

    def _look(self) -> None:
        with self._database() as database:
            query = "SELECT COUNT(*) FROM attempts WHERE state IN ('leased', 'running')"
            live = database.execute(query).fetchone()[0]
        self.outcome.most_live = max(self.outcome.most_live, live)

    def _finish(self) -> None:
        deadline = time.monotonic() + 600
        while self._state() not in ("completed", "failed"):
            self._look()
            if time.monotonic() > deadline:
                status = self.server.ask("GET", f"/api/v1/experiments/{self.experiment}")
                self.outcome.wrong.append(f"it does not end: {status}")
                break
            time.sleep(0.2)
        deadline = time.monotonic() + 60
        while survivors := self._survivors():
            if time.monotonic() > deadline:
                self.outcome.wrong.append(f"processes are left: {survivors}")
                break
            time.sleep(0.2)
        self._check()

    def _survivors(self) -> list[int]:
        """Return the workers and users' processes that still run."""
        return [pid for pid, environ in processes(str(self.state)).items() if "CHAOS_MARKER" in environ]

    def _check(self) -> None:
        wrong = self.outcome.wrong
        status = self.server.ask("GET", f"/api/v1/experiments/{self.experiment}")
        self.outcome.counts = status["counts"]
        finished = sum(status["counts"][key] for key in ("completed", "failed", "pruned"))
        if finished != self.budget:
            wrong.append(f"{finished} trials finished, the budget was {self.budget}")
        if status["counts"]["queued"] or status["counts"]["running"] or status["counts"]["cancelled"]:
            wrong.append(f"some are left: {status['counts']}")
        if self.outcome.most_live > self.parallelism:
            wrong.append(f"{self.outcome.most_live} leases were live at once")
        with self._database() as database:
            numbers = [row[0] for row in database.execute("SELECT number FROM trials ORDER BY number")]
            if numbers != list(range(1, self.budget + 1)):
                wrong.append("numbers of trials are missing or double")
            done = dict(database.execute("SELECT trial, COUNT(*) FROM folds WHERE state = 'done' GROUP BY trial"))
            completed = [row[0] for row in database.execute("SELECT number FROM trials WHERE state = 'completed'")]
            if any(done.get(number) != self.folds for number in completed):
                wrong.append(f"a trial completed without all of its {self.folds} folds: {done}")
            self.outcome.attempts.update(
                dict(database.execute("SELECT state, COUNT(*) FROM attempts GROUP BY state").fetchall())
            )
            self._check_leases(database)
            self._check_logs(database)

    def _check_leases(self, database: sqlite3.Connection) -> None:
        """By the order of the events, which is the order of the commits."""
        live: set[str] = set()
        for kind, text in database.execute("SELECT kind, data FROM events ORDER BY seq"):
            data = json.loads(text)
            if kind == "attempt_leased":
                live.add(data["attempt"])
            elif kind == "attempt_ended":
                live.discard(data["attempt"])
            if len(live) > self.parallelism:
                self.outcome.wrong.append(f"{len(live)} leases were live at once by the events")
                return

    def _check_logs(self, database: sqlite3.Connection) -> None:
        query = "SELECT id, trial, log_end, log_bytes FROM attempts WHERE state = 'succeeded'"
        for attempt, trial, end, size in database.execute(query).fetchall():
            parts = database.execute(
                'SELECT data, length FROM log_segments WHERE attempt = ? ORDER BY "offset"', (attempt,)
            )
            lines = b"".join(unpacked(*row) for row in parts).decode().splitlines()
            lines = [line for line in lines if line != "Killed"]  # what the shell says when its sleep was killed
            if end != size or lines[:-1] != LINES or not lines[-1].startswith("loss="):
                self.outcome.wrong.append(f"the log of trial {trial} is not whole: {end} of {size} bytes, {lines}")

    def close(self) -> None:
        """Stop the experiment and the server in any case."""
        self._thaw(everything=True)
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.server.ask("POST", f"/api/v1/experiments/{self.experiment}/stop", {})
        self.server.close()
        for pid in self._survivors():
            _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main() -> int:
    """The long run: prints a table, returns 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=1000)
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--parallelism", type=int, default=8)
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=1.0, help="mean seconds between faults")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orchestune-chaos-") as folder:
        chaos = Chaos(Path(folder), args.budget, args.parallelism, args.seed, args.folds)
        try:
            outcome = chaos.run(args.faults, args.pause)
        finally:
            chaos.close()
    print("| fault | times |\n|---|---|")
    for kind, times in sorted(outcome.faults.items()):
        print(f"| {kind} | {times} |")
    print(f"\nbudget {chaos.budget}, trials {outcome.counts}, attempts {dict(outcome.attempts)}")
    print(f"at most {outcome.most_live} live leases (parallelism {args.parallelism}); resumed {outcome.resumed} times")
    print(f"{outcome.seconds:.0f} s")
    for text in outcome.wrong:
        print(f"WRONG: {text}")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
