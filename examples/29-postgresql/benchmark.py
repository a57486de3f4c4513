"""One trial: start a PostgreSQL server with these settings, wait until it is ready, load it, stop it."""

import argparse
import os
import pwd
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--shared_buffers_mb", type=int, default=128)
parser.add_argument("--wal_buffers_mb", type=int, default=4)
parser.add_argument("--synchronous_commit", default="on")
parser.add_argument("--commit_delay", type=int, default=0)
parser.add_argument("--clients", type=int, default=4)
parser.add_argument("--seconds", type=int, default=2)
args = parser.parse_args()

programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
PATH = os.pathsep.join([*map(str, programs[-1:]), os.environ["PATH"]])
# PostgreSQL refuses to run as root, which is who runs in many containers
USER = {"user": pwd.getpwnam("postgres").pw_uid, "group": pwd.getpwnam("postgres").pw_gid} if os.geteuid() == 0 else {}
FOLDER = Path(tempfile.mkdtemp(prefix="postgresql-"))
if USER:
    os.chown(FOLDER, USER["user"], USER["group"])


def run(program, *words, **options):
    command = [shutil.which(program, path=PATH) or sys.exit(f"{program} is not installed"), *words]
    return subprocess.run(command, check=True, cwd=FOLDER, capture_output=True, text=True, **USER, **options)


@contextmanager
def server():
    """Run the server until the block ends."""
    run("initdb", "-D", "data", "--username=bench", "--auth=trust", "--no-sync")
    settings = {
        "shared_buffers": f"{args.shared_buffers_mb}MB",
        "wal_buffers": f"{args.wal_buffers_mb}MB",
        "synchronous_commit": args.synchronous_commit,
        "commit_delay": args.commit_delay,
        "listen_addresses": "",  # a port would let every user of the machine in, as a superuser without a password
        "unix_socket_directories": FOLDER,  # only this user can enter it
        "max_connections": 40,
    }
    options = " ".join(f"-c {name}={value if value != '' else chr(39) * 2}" for name, value in settings.items())
    # --wait returns when the server accepts connections, and fails when it does not start
    run("pg_ctl", "start", "-D", "data", "--wait", "--timeout=60", "-l", "log", "-o", options)
    try:
        yield ["-h", str(FOLDER), "-U", "bench", "postgres"]
    finally:
        run("pg_ctl", "stop", "-D", "data", "--mode=fast", "--wait")


def stop(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)  # leaves the blocks below, which stop the server


signal.signal(signal.SIGTERM, stop)
try:
    with server() as place:
        run("pgbench", "--initialize", "--scale=2", "--quiet", *place)
        load = ["--client", str(args.clients), "--jobs=1", "--time", str(args.seconds), "--no-vacuum"]
        run("pgbench", *load, "--log", "--log-prefix=load", *place)
    latencies = []  # microseconds; third column of pgbench's log
    for log in FOLDER.glob("load.*"):
        latencies += [int(line.split()[2]) for line in log.read_text().splitlines()]
    print(f"tps={len(latencies) / args.seconds:.1f}")
    print(f"p95_ms={statistics.quantiles(latencies, n=20)[-1] / 1000:.3f}")
except subprocess.CalledProcessError as error:
    log = FOLDER / "log"
    sys.exit(f"{error}\n{error.stderr}{log.read_text() if log.exists() else ''}")
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
