"""Diagnostic checks of this machine and its server, each with a remedy."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path

from orchestune import __version__
from orchestune.client.address import named_server, resolver
from orchestune.client.connection.transport import HttpReply, Transport
from orchestune.client.doctor.clusters import cluster_checks
from orchestune.client.doctor.finding import CheckResult, Verdict
from orchestune.client.local import write_errors
from orchestune.client.local.filesystem import LOCAL_DISK, NETWORK, filesystem
from orchestune.client.local.home import state_folder
from orchestune.client.local.outdated import REMEDY, changed
from orchestune.errors import Denied, OrchestuneError

PROTOCOL = 1
_LOW_BYTES, _CRITICAL_BYTES = 10 * 2**30, 1 * 2**30


def checks(environ: Mapping[str, str] = os.environ) -> Iterator[CheckResult]:
    """Run all checks in sequence. Starts the embedded server, as every other command does."""
    yield _versions()
    hosted = named_server(environ)
    if not hosted:
        yield from _state(environ)
    yield _temporary()
    yield _loopback()
    if hosted or _usable(environ):
        yield from _server(environ)
        yield from cluster_checks(environ)
    yield _gpus(environ, _served_gpus(environ) if not hosted and _usable(environ) else None)


def _usable(environ: Mapping[str, str]) -> bool:
    """Return True if the state folder is usable; without it no server starts and no clusters are known."""
    try:
        state_folder(environ)
    except OrchestuneError:
        return False
    return True


def _versions() -> CheckResult:
    detail = f"orchestune {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    if platform.system() != "Linux":
        return CheckResult("versions", "warning", detail, "only Linux is tested")
    return CheckResult("versions", "ok", detail)


def _state(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    try:
        folder = state_folder(environ)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
            yield CheckResult("state folder", "ok", str(folder))
            yield _locks(file.fileno(), folder)
    except OrchestuneError as exc:
        yield CheckResult("state folder", "error", exc.message, exc.hint)
        return
    except OSError as exc:
        yield CheckResult("state folder", "error", *write_errors.explain_write_error(exc, folder))
        return
    yield _disk("disk", folder)


def _locks(descriptor: int, folder: Path) -> CheckResult:
    kind = filesystem(folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        return CheckResult(
            "locks", "error", f"{kind or 'this file system'} does not support locks: {exc.strerror}", LOCAL_DISK
        )
    if kind in NETWORK:
        return CheckResult("locks", "error", f"the state folder is on {kind}, a network file system", LOCAL_DISK)
    return CheckResult("locks", "ok", f"work on {kind}" if kind else "work")


def _disk(name: str, folder: Path) -> CheckResult:
    usage = shutil.disk_usage(folder)
    detail = f"{usage.free / 2**30:.1f} GiB of {usage.total / 2**30:.0f} GiB free for {folder}"
    remedy = "free some disk space, or delete old experiments with `orchestune delete EXP --purge`"
    verdict: Verdict = "error" if usage.free < _CRITICAL_BYTES else "warning" if usage.free < _LOW_BYTES else "ok"
    return CheckResult(name, verdict, detail, "" if verdict == "ok" else remedy)


def _temporary() -> CheckResult:
    try:
        return _disk("temporary", Path(tempfile.gettempdir()))
    except OSError as exc:
        return CheckResult("temporary", "error", f"no folder for temporary files: {exc}", "set TMPDIR to a folder")


def _loopback() -> CheckResult:
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with socket.create_connection(listener.getsockname(), timeout=5):
                pass
    except OSError as exc:
        return CheckResult("ports", "error", f"cannot use ports of 127.0.0.1: {exc}", "allow connections to 127.0.0.1")
    return CheckResult("ports", "ok", "free ports on 127.0.0.1")


def _server(environ: Mapping[str, str]) -> Iterator[CheckResult]:
    transport = Transport(resolver(environ), retry_seconds=2.0)
    try:
        transport.request("GET", "/api/v1/server")  # may start a server first, which would distort the clock comparison
        started = time.time()
        reply = transport.request("GET", "/api/v1/server")
        answered = time.time()
        document = reply.json()
        url = transport.resolve().url
    except OrchestuneError as exc:
        transport.close()
        hint = "check server.log in the state folder"
        if named_server(environ):
            hint = "check ORCHESTUNE_SERVER, that the server runs, and that the network lets this machine reach it"
        yield CheckResult("server", "error", exc.message, _remedy(exc, hint))
        return
    detail = f"{document['version']} ({document['home']}, pid {document['pid']}) at {url}"
    detail += f", answered in {(answered - started) * 1000:.0f} ms"
    changed_module = changed(state_folder(environ)) if document["home"] == "embedded" else ""
    if document["protocol"] != PROTOCOL:
        remedy = "install the same version on both sides"
        yield CheckResult("server", "error", f"{detail}; protocol {document['protocol']} (expected {PROTOCOL})", remedy)
    elif document["version"] != __version__:
        yield CheckResult(
            "server", "warning", f"{detail}; this program is {__version__}", "upgrade the older of the two"
        )
    elif changed_module:
        yield CheckResult("server", "warning", f"{detail}; started before {changed_module} was changed", REMEDY)
    else:
        yield CheckResult("server", "ok", detail)
    yield stored(transport)
    transport.close()
    yield _clock(reply, (started + answered) / 2)


def stored(transport: Transport) -> CheckResult:
    """Check that the server can write records and files."""
    try:
        transport.request("GET", "/readyz")
        transport.request("POST", "/api/v1/server/check", b"")
    except Denied:
        return CheckResult("store", "ok", "readable; checking writes needs an owner's token")
    except OrchestuneError as exc:
        return CheckResult(
            "store", "error", exc.message, _remedy(exc, "stop the process that locks it, or free space on its disk")
        )
    return CheckResult("store", "ok", "reads and writes records and files")


def _remedy(exc: OrchestuneError, otherwise: str) -> str:
    """Return the error's own hint, unless that is to run the doctor."""
    return exc.hint if exc.hint and "doctor" not in exc.hint else otherwise


def _clock(reply: HttpReply, now: float) -> CheckResult:
    date = reply.headers.get("date")
    if date is None:
        return CheckResult("clock", "warning", "the server does not report its time", "compare both clocks manually")
    off = now - parsedate_to_datetime(date).timestamp()
    if abs(off) > 5:
        detail = f"this machine is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the server"
        return CheckResult(
            "clock", "warning", detail, "synchronize both with a time server (chrony, systemd-timesyncd)"
        )
    return CheckResult("clock", "ok", "agrees with the server's")


def _served_gpus(environ: Mapping[str, str]) -> list[str] | None:
    """Return the ids of the GPUs that the local server allocates; None if unknown."""
    transport = Transport(resolver(environ), retry_seconds=2.0)
    try:
        document = transport.request("GET", "/api/v1/cluster?name=local").json()
        return [str(card["id"]) for card in document["gpus"]]
    except (OrchestuneError, KeyError):
        return None
    finally:
        transport.close()


def _unserved(local_gpus: Sequence[str], server_gpus: Sequence[str] | None) -> list[str]:
    """Return the indices of GPUs unknown to the server: added after its start, or nvidia-smi was missing then."""
    if server_gpus is None or any(card.startswith("MIG-") for card in server_gpus):  # MIG devices are not listed here
        return []
    return [index for index in local_gpus if index not in server_gpus]


def _gpus(environ: Mapping[str, str], served: Sequence[str] | None) -> CheckResult:
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if program is None:
        device = Path("/dev/nvidiactl").exists()
        if device:
            return CheckResult("gpus", "warning", "NVIDIA driver found, but no nvidia-smi in PATH", "install it")
        return CheckResult("gpus", "ok", "none (no nvidia-smi)")
    try:
        query = [program, "--query-gpu=index,name", "--format=csv,noheader"]
        process = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return CheckResult(
            "gpus", "warning", f"cannot run nvidia-smi: {exc}", "run it manually; the driver may be broken"
        )
    if process.returncode != 0:
        text = (process.stderr or process.stdout).strip().splitlines()
        return CheckResult(
            "gpus", "warning", f"nvidia-smi failed: {text[0] if text else process.returncode}", "repair the driver"
        )
    names = [line.strip() for line in process.stdout.splitlines() if line.strip()]
    detail = f"{len(names)}: {'; '.join(names)}" if names else "none"
    left_out = _unserved([name.partition(",")[0] for name in names], served)
    if left_out:
        remedy = "`orchestune doctor --restart` makes it detect them; running trials continue"
        return CheckResult("gpus", "warning", f"{detail}; the server does not allocate {', '.join(left_out)}", remedy)
    if visible is None:
        return CheckResult("gpus", "ok", detail)
    if names and visible.strip() in ("", "-1", "NoDevFiles"):
        return CheckResult("gpus", "warning", f"{detail}; CUDA_VISIBLE_DEVICES={visible!r} hides them all", "unset it")
    return CheckResult("gpus", "ok", f"{detail}; CUDA_VISIBLE_DEVICES={visible}")
