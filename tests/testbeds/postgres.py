"""A private PostgreSQL for tests: its own data folder, a free loopback port, a password; gone without a trace after.

    with postgres_server() as url: ...      # or: python -m tests.testbeds.postgres   (prints the URL, ends with Ctrl-C)

`ORCHESTUNE_TEST_POSTGRES` names a server that exists already; it is used as it is.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.testbeds.ports import free_port

START_SECONDS = 90.0
USER = "orchestune"


class NoPostgres(RuntimeError):
    """PostgreSQL is not installed, or it does not start."""


def binaries() -> Path:
    """The folder of the server's programs: the PATH, `pg_config`, or where Debian puts them (the newest version)."""
    candidates = []
    on_path = shutil.which("postgres")
    if on_path:
        candidates.append(Path(on_path).resolve().parent)
    if shutil.which("pg_config"):
        pg_config = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(pg_config.stdout.strip()))
    versions = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if folder.parent.name.isdecimal()]
    candidates += sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)
    for folder in candidates:
        if all((folder / program).exists() for program in ("initdb", "postgres", "pg_isready")):
            return folder
    raise NoPostgres("install it (apt-get install postgresql), or name a server in ORCHESTUNE_TEST_POSTGRES")


def _account() -> Mapping[str, Any]:
    """Return the command prefix of the server's processes: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    try:
        account = pwd.getpwnam("postgres")
    except KeyError:
        account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _initialise(bindir: Path, folder: Path, password: str, account: Mapping[str, Any]) -> None:
    secret = folder / "password"
    secret.write_text(password)
    if account:
        for path in (folder, secret):
            os.chown(path, account["user"], account["group"])
    command = [str(bindir / "initdb"), "-D", str(folder / "data"), "-U", USER, "--pwfile", str(secret)]
    command += ["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, **account)
    if done.returncode:
        raise NoPostgres(f"initdb failed:\n{done.stdout}{done.stderr}")


def _ready(bindir: Path, port: int) -> bool:
    command = [str(bindir / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "5"]
    return subprocess.run(command, check=False).returncode == 0


def _start(bindir: Path, folder: Path, port: int, account: Mapping[str, Any], host: str) -> subprocess.Popen[bytes]:
    settings = {
        "listen_addresses": f"127.0.0.1,{host}", "port": str(port), "unix_socket_directories": "",
        "max_connections": "200", "fsync": "off", "shared_buffers": "32MB", "log_min_messages": "warning",
    }  # fmt: skip
    command = [str(bindir / "postgres"), "-D", str(folder / "data")]
    command += [f"--{name}={value}" for name, value in settings.items()]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, **account)
    try:
        _wait_until_ready(bindir, folder, port, process)
    except BaseException:
        _stop(process)
        raise
    return process


def _wait_until_ready(bindir: Path, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _ready(bindir, port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoPostgres(f"PostgreSQL did not start:\n{(folder / 'log').read_text(errors='replace')}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, at once, by force
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                continue


@contextmanager
def postgres_server(host: str = "127.0.0.1") -> Iterator[str]:
    """A running server's SQLAlchemy URL; server and data are gone when the block ends. NoPostgres says why not.

    `host`: the address of this host under which it is to be reached, by those who can reach that address.
    """
    existing = os.environ.get("ORCHESTUNE_TEST_POSTGRES")
    if existing:
        yield existing
        return
    bindir, account, password = binaries(), _account(), secrets.token_urlsafe(16)
    folder = Path(tempfile.mkdtemp(prefix="orchestune-postgres-", dir="/tmp" if account else None))
    process = None
    try:
        _initialise(bindir, folder, password, account)
        with (folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")
        for last in (False, False, True):  # another process may take the port first
            port = free_port()
            try:
                process = _start(bindir, folder, port, account, host)
                break
            except NoPostgres:
                if last:
                    raise
        yield f"postgresql+psycopg://{USER}:{password}@{host}:{port}/postgres"
    finally:
        if process is not None:
            _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    with postgres_server() as url:
        print(url, flush=True)
        try:
            signal.sigwait({signal.SIGTERM, signal.SIGINT})
        except KeyboardInterrupt:
            sys.exit(130)
