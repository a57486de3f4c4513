"""Logs as real processes write them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.integration.worker.conftest import RunningWorker, bundle
from tests.integration.worker.fake_server import FakeServer

Serve = Callable[..., FakeServer]
Employ = Callable[..., RunningWorker]


def test_binary_rubbish_and_half_lines_arrive_as_they_were_written(serve: Serve, employ: Employ) -> None:
    rubbish = os.urandom(300_000) + b"\xff\x00half"
    code = "import os; data = open('data', 'rb').read(); os.write(1, data[:7]); rest = data[7:]\n"
    server = serve([sys.executable, "-c", code + "while rest: rest = rest[os.write(2, rest):]"])
    attempt = server.queue(bundle=server.give(bundle({"data": rubbish})))
    employ(server)
    assert bytes(server.finished(attempt).log) == rubbish


def test_fifty_megabytes_keep_head_and_tail_in_bounded_memory(serve: Serve, employ: Employ) -> None:
    code = "import sys\nfor i in range(500): sys.stdout.buffer.write(b'%06d ' % i + (b'x' * 99 + b'\\n') * 1000)\n"
    code += "print('loss=1')"
    server = serve([sys.executable, "-c", code], cap_bytes=4 * 2**20)
    attempt = server.queue()
    worker = employ(server)
    reports = server.finished(attempt, 90)
    assert reports.values("loss") == [1.0]
    assert reports.finished is not None and reports.finished["log_bytes"] == reports.end > 50_000_000
    ((_, gap),) = reports.gaps
    assert len(reports.log) == 4 * 2**20 and gap == reports.end - 4 * 2**20
    assert reports.log.startswith(b"000000 xxx") and reports.log.endswith(b"\nloss=1\n")
    status = Path(f"/proc/{worker.pid}/status").read_text()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024
    assert peak < 100 * 2**20


def test_a_log_that_outruns_the_network_waits_on_disk_and_arrives_whole(serve: Serve, employ: Employ) -> None:
    code = "import sys\nfor i in range(200_000): sys.stdout.write('line %07d of a long log\\n' % i)\nprint('loss=1')"
    server = serve([sys.executable, "-c", code])
    attempt = server.queue()
    employ(server)
    reports = server.finished(attempt, 90)
    expected = b"".join(b"line %07d of a long log\n" % i for i in range(200_000)) + b"loss=1\n"
    assert bytes(reports.log) == expected


def test_secrets_never_leave_the_worker(serve: Serve, employ: Employ) -> None:
    secret = "hunter2-and-more"
    code = "import os, time; s = os.environ['KEY']\n"
    code += "for c in 'a ' + s + ' b': os.write(1, c.encode()); time.sleep(0.002)\n"
    code += "print(s, flush=True); os.write(2, s.encode())"
    server = serve([sys.executable, "-c", code], secrets={"KEY": secret})
    attempt = server.queue()
    worker = employ(server)
    reports = server.finished(attempt)
    assert bytes(reports.log) == b"a *** b***\n***"
    assert reports.finished is not None and secret not in str(reports.finished)
    server.job["run"] = [f"/{secret}"]
    lost = server.finished(server.queue(revision=2)).finished
    assert lost is not None and lost["reason"]["code"] == "command_not_found"
    assert secret not in str(lost)
    text = worker.log.read_text()
    assert secret not in text and server.token not in text


def test_progress_bars_and_colours_do_not_hide_metrics(serve: Serve, employ: Employ) -> None:
    server = serve(r"printf '\r10%% loss=0.9\r20%% loss=0.8\033[0m\n\033[32mloss\033[0m: \033[1m0.7\033[0m\n'")
    attempt = server.queue()
    employ(server)
    assert server.finished(attempt).values("loss") == [0.9, 0.8, 0.7]


def test_an_expression_that_takes_for_ever_ends_itself_and_not_the_worker(serve: Serve, employ: Employ) -> None:
    code = "print('a' * 40 + '!'); print('loss: 0.5')"
    slow, quick = r"(a+)+$(?P<loss>.)", r"loss: (?P<loss>\S+)"
    collect = [{"kind": "regex", "where": slow}, {"kind": "regex", "where": quick}]
    server = serve([sys.executable, "-c", code], collect=collect)
    attempts = [server.queue(), server.queue()]
    employ(server)
    for attempt in attempts:
        reports = server.finished(attempt)
        assert reports.values("loss")[-1] == 0.5
        assert reports.log.count(b"orchestune: the expression (a+)+$(?P<loss>.) of `collect` took longer than 1 s") == 1
