from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from orchestune.backends.docker import pulling
from orchestune.backends.docker.client import DaemonError, DockerEngine

LAYER = {"status": "Downloading", "id": "a1", "progressDetail": {"current": 5_000_000, "total": 20_000_000}}


class Daemon(DockerEngine):
    """Answers each pull with the next of `answers`: messages, or an error."""

    def __init__(self, *answers: list[Mapping[str, Any]] | DaemonError) -> None:
        super().__init__()
        self.answers = list(answers)
        self.has = False

    def image(self, reference: str) -> Mapping[str, Any] | None:
        return {"Id": "sha256:1"} if self.has else None

    def pull(self, reference: str) -> Iterator[Mapping[str, Any]]:
        answer = self.answers.pop(0)
        if isinstance(answer, DaemonError):
            raise answer
        yield from answer
        self.has = True


def fetch(daemon: Daemon, is_wanted: bool = True) -> tuple[list[str], list[float]]:
    messages: list[str] = []
    pauses: list[float] = []
    pulling.fetch(daemon, "lab/train:1", messages.append, lambda: is_wanted, pauses.append)
    return messages, pauses


def test_an_image_that_is_there_is_not_pulled() -> None:
    daemon = Daemon()
    daemon.has = True
    assert fetch(daemon) == ([], [])


def test_the_progress_of_all_layers_is_told() -> None:
    other = {"status": "Downloading", "id": "b2", "progressDetail": {"current": 1_000_000, "total": 30_000_000}}
    done = {"status": "Download complete", "id": "a1"}
    messages, _ = fetch(Daemon([{"status": "Pulling from lab/train"}, LAYER, other, done]))
    assert messages[0] == "pulling the image lab/train:1"
    assert messages[-2:] == [
        "pulling the image lab/train:1: 6 of 50 MB",
        "pulling the image lab/train:1: 21 of 50 MB",
    ]


def test_what_the_registry_refuses_is_final_and_told_in_its_words() -> None:
    with pytest.raises(pulling.ImageUnavailable, match="cannot pull the image lab/train:1: manifest unknown") as caught:
        fetch(Daemon(DaemonError("manifest unknown", answer=404)))
    assert "docker login" in caught.value.hint


def test_no_registry_is_asked_for_what_was_built_here_and_is_gone() -> None:
    image = "sha256:" + "ab" * 32
    with pytest.raises(pulling.ImageUnavailable, match=f"Docker no longer has the image {image}") as caught:
        pulling.fetch(Daemon(), image, print, lambda: True, print)
    assert "start the experiment again" in caught.value.hint


def test_a_registry_that_does_not_answer_is_asked_three_times() -> None:
    daemon = Daemon(DaemonError("connection refused", answer=500), DaemonError("timeout", answer=500), [LAYER])
    messages, pauses = fetch(daemon)
    assert "cannot pull the image lab/train:1 yet: connection refused" in messages
    assert pauses == [1.0, 3.0]
    with pytest.raises(pulling.ImageUnavailable, match="the third"):
        fetch(Daemon(*(DaemonError(f"the {word}", answer=500) for word in ("first", "second", "third"))))


def test_nobody_waits_for_an_image_that_nobody_wants_any_more() -> None:
    with pytest.raises(pulling.PullCancelled):
        fetch(Daemon([LAYER]), is_wanted=False)
    with pytest.raises(pulling.PullCancelled):
        fetch(Daemon(DaemonError("busy", answer=500)), is_wanted=False)
