"""Text from a worker can be stored by any server, and answers arrive whole."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from orchestune.worker.connection.api import ServerConnection, ServerEndpoint, Unreachable, encoded
from tests.testbeds.proving import answer_to


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("caf\udce9.txt", "caf\ufffd.txt"),
        ("\ud800\ud800\udc00 \udc00", "\ufffd\U00010000 \ufffd"),
        ("\U0001f600", "\U0001f600"),
        (r"\ud800 \\ud800", r"\ud800 \\ud800"),
    ],
)
def test_half_of_a_pair_of_surrogates_is_sent_as_the_character_for_none(text: str, sent: str) -> None:
    assert json.loads(encoded({text: [text]})) == {sent: [sent]}


def test_a_file_that_arrives_in_part_is_one_to_ask_for_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        answers = [b"hal", b"whole"]

        def serve() -> None:
            for answer in answers:
                with listening.accept()[0] as connection:
                    connection.sendall(answer_to(connection.recv(65536), "secret"))
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + answer)

        serving = threading.Thread(target=serve)
        serving.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        connection = ServerConnection(ServerEndpoint(url, None, "secret", "w1"))
        with pytest.raises(Unreachable, match="in the middle of a file"):
            connection.download("/file", tmp_path / "file")
        connection.download("/file", tmp_path / "file")
        connection.close()
        serving.join()
    assert (tmp_path / "file").read_bytes() == b"whole"
