"""A server that other machines reach without TLS says so at its start."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from orchestune.errors import UsageError
from orchestune.server import main as program
from orchestune.server.settings import load

WARNING = "tokens travel unencrypted"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--host", "0.0.0.0"], True),
        (["--host", "::"], True),
        (["--host", "192.0.2.1"], True),
        (["--host", "lab.example.org"], True),
        (["--host", "0.0.0.0", "--public-url", "http://lab.example.org"], True),
        (["--host", "0.0.0.0", "--public-url", "https://lab.example.org"], False),
        (["--host", "127.0.0.1"], False),
        (["--host", "localhost"], False),
        (["--host", "::1"], False),
        ([], False),
    ],
)
def test_only_what_others_can_read_is_warned_about(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    expected: bool,
) -> None:
    def refuse(*_: object) -> None:
        raise UsageError("not in a test")

    root = logging.getLogger()
    monkeypatch.setattr(program, "listen", refuse)
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    try:
        with pytest.raises(UsageError, match="not in a test"):
            program.main(["--state", str(tmp_path), "--port", "0", *options], lambda *_: pytest.fail("was built"))
    finally:
        root.setLevel(level)
    assert (WARNING in capsys.readouterr().err) is expected


def test_with_a_certificate_of_its_own_nothing_is_said(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("")
    tls = ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]
    assert not load(["--host", "0.0.0.0", *tls], {"ORCHESTUNE_HOME": str(tmp_path)}).unencrypted
