"""A server which does nothing but live like an embedded one. What it does wrong is said in `STAND_IN`."""

import http.server
import os
import signal
import sys
import threading
import time
from pathlib import Path

from orchestune.errors import Conflict
from orchestune.server import embedded

state, version, wrong = Path(sys.argv[1]), sys.argv[2], set(sys.argv[3:])
with open(state / "starts", "a") as starts:
    starts.write(f"{os.getpid()}\n")
if "dies" in wrong:
    sys.exit("the cellar is flooded")
if "never" in wrong:
    time.sleep(3600)
try:
    lock = embedded.acquire(state, timeout=1.0)
except Conflict as exc:
    sys.exit(str(exc))


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if "hangs" in wrong:
            time.sleep(3600)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        ours = self.headers["Authorization"] == f"Bearer {token}"
        self.send_response(200 if ours and self.path == "/api/v1/shutdown" and "deaf" not in wrong else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if ours and "deaf" not in wrong:
            threading.Thread(target=end).start()

    def log_message(self, format: str, *args: object) -> None:
        pass


def end() -> None:
    lock.withdraw()
    server.shutdown()


token = embedded.token(state)
server = http.server.ThreadingHTTPServer(("127.0.0.1", embedded.sticky_port(state)), Handler)
server.daemon_threads = True
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end).start())
with open(state / "serving", "a") as serving:
    serving.write(f"{os.getpid()}\n")
lock.publish(f"http://127.0.0.1:{server.server_address[1]}", token, version)
server.serve_forever()
lock.release()
