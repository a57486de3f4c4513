"""A worker without any work: reads its file as the real one does, and lives until it is ended."""

import json
import os
import signal
import subprocess
import sys
import time

with open(os.environ["ORCHESTUNE_WORKER_FILE"]) as file:
    order = json.load(file)
mode = os.environ.get("STAND_IN", "")
if mode == "dies":
    print("cannot go on: the moon is full", flush=True)
    sys.exit(3)
if os.getpid() == 1:  # in a container: process 1 receives no signal without a handler for it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
if mode == "hungry":
    print("eating", flush=True)
    eaten = [bytearray(os.urandom(2**20)) for _ in range(2**12)]
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # leaves the session and forgets where it comes from, as a daemon would
    subprocess.Popen(["sleep", "3600"], start_new_session=True, env={"BELONGS_TO": order["worker"]})
with open(os.path.join(order["state"], "seen.json"), "w") as file:
    json.dump({"order": order, "environment": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd()}, file)
while True:
    time.sleep(3600)
