"""Messages of a real server that is killed while it sends them, from the command line to their receiver."""

from __future__ import annotations

import json
from pathlib import Path

from standardwebhooks import Webhook

from tests.e2e.scene import eventually, kill_server, launch, reached, write
from tests.testbeds.home import Home
from tests.testbeds.receiver import Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_nothing_is_lost_though_the_server_is_killed_while_its_message_hangs(home: Home, tmp_path: Path) -> None:
    with Receiver(["hang", 200]) as receiver:
        home.env |= {"HOOK": f"{receiver.url}/services/T0/B0/very-secret", "HOOK_SECRET": SECRET}
        hook = {"url": "env:HOOK", "secret": "env:HOOK_SECRET"}
        handle = launch(home, write(tmp_path / "told", "echo loss={x}", budget=2, notify=hook))
        receiver.wait(1)
        kill_server(home)
        del home.env["HOOK"], home.env["HOOK_SECRET"]
        reached(home, handle, "completed")
        first, second = receiver.wait(2)[:2]
        document = Webhook(SECRET).verify(second.body, dict(second.headers))
        assert (document["type"], document["data"]["experiment"]) == ("experiment.finished", handle)
        assert (first.identity, first.body) == (second.identity, second.body)
        assert [request.identity for request in receiver.accepted()] == [first.identity]
        store = b"".join(path.read_bytes() for path in home.folder.rglob("orchestune.db*"))
        assert b"very-secret" not in store
        assert SECRET.encode() not in store
    assert "very-secret" not in home.run("export", handle).stdout


def test_an_option_names_who_is_told_and_a_dry_run_shows_its_host_alone(home: Home, tmp_path: Path) -> None:
    project = write(tmp_path / "option", "echo loss={x}", budget=1)
    with Receiver() as receiver:
        output = home.run("run", "--dry-run", "--notify", f"{receiver.url}/very-secret", cwd=project)
        assert f"notifies   http://127.0.0.1:{receiver.port}/… when finished or failed or paused" in output.stdout
        assert "very-secret" not in output.stdout
        document = json.loads(home.run("run", "--detach", "--json", "--notify", receiver.url, cwd=project).stdout)
        eventually(receiver.accepted, "the end is told", home)
        assert receiver.received[0].document["data"]["experiment"] == document["handle"]
    result = home.run("run", "--dry-run", "--notify", "env:NOT_THERE", cwd=project, expect=2)
    assert "notify.0.url: the environment variable NOT_THERE is not set" in result.stderr
