from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestune.errors import BadInput
from orchestune.server.token_file import TokenFile, read_owners
from orchestune.server.tokens import KnownCallers
from orchestune.services.core import Caller

A, B = "a" * 20, "b" * 20


def test_a_line_holds_a_name_and_a_token_or_a_token_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# the team\nada {A}\n\n{B}  # everybody\neve {A}#{B}\n")
    assert read_owners(path) == {A: "ada", B: "owner", f"{A}#{B}": "eve"}


@pytest.mark.parametrize(
    ("text", "line"),
    [(f"ada {A}\nada {B}\n", 2), ("ada short\n", 1), (f"ada lovelace {A}\n", 1), (f"ada {A}\nbob {A}\n", 2)],
)
def test_a_line_that_cannot_be_meant_is_named_without_its_token(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        read_owners(path)
    assert f"{path}:{line}: token_file" in caught.value.message
    assert A not in caught.value.message


def test_a_file_without_a_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("# nobody\n")
    with pytest.raises(BadInput, match="contains no token"):
        read_owners(tmp_path / "tokens")


def test_a_caller_is_forgotten_after_a_minute() -> None:
    now = [0.0]
    callers = KnownCallers(lambda: now[0])
    ada = Caller("ada", "owner")
    callers.remember("token", ada, callers.revocations)
    now[0] = 59.0
    assert callers.get("token") is ada
    now[0] = 61.0
    assert callers.get("token") is None


def test_memory_of_callers_is_bounded() -> None:
    callers = KnownCallers()
    for number in range(10_000):
        callers.remember(str(number), Caller("w", "worker"), callers.revocations)
    assert len(callers._callers) <= 4096
    assert callers.get("9999") is not None


@pytest.mark.parametrize("take_back", [KnownCallers.clear, lambda callers: callers.forget("token")])
def test_what_is_taken_back_while_it_is_looked_up_is_not_remembered(take_back: Callable[[KnownCallers], None]) -> None:
    callers = KnownCallers()
    before = callers.revocations
    take_back(callers)
    callers.remember("token", Caller("ada", "owner"), before)
    assert callers.get("token") is None


def test_a_revocation_of_one_token_does_not_concern_the_look_up_of_another() -> None:
    callers = KnownCallers()
    before = callers.revocations
    callers.forget("another token")
    callers.remember("token", Caller("ada", "owner"), before)
    assert callers.get("token") is not None


def test_many_forgotten_tokens_are_remembered_as_one_revocation_of_all() -> None:
    callers = KnownCallers()
    before = callers.revocations
    for number in range(5000):
        callers.forget(f"t{number}")
    callers.remember("t1", Caller("eve", "editor"), before)
    assert callers.get("t1") is None and len(callers._forgotten) <= 4096


def test_accepted_tokens_are_checked_again_after_a_revocation_and_stay_known() -> None:
    callers = KnownCallers()
    callers.remember("token", Caller("ada", "editor"), callers.revocations)
    callers.clear()
    assert callers.get("token") is None and callers.was_known("token")
    callers.reject("token")
    assert not callers.was_known("token")


def test_the_token_that_was_checked_least_recently_is_dropped_first() -> None:
    callers = KnownCallers()
    callers.remember("ada", Caller("ada", "editor"), callers.revocations)
    for number in range(4095):
        callers.remember(str(number), Caller("w", "worker"), callers.revocations)
    callers.remember("ada", Caller("ada", "editor"), callers.revocations)
    callers.remember("another", Caller("w", "worker"), callers.revocations)
    assert callers.was_known("ada") and not callers.was_known("0")


def test_a_token_file_is_read_again_and_a_malformed_state_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"ada {A}\n")
    tokens = TokenFile(path)
    assert not tokens.reread()
    path.write_text(f"ada {A}\nbob short\n")
    assert not tokens.reread() and not tokens.reread()
    path.unlink()
    assert not tokens.reread() and dict(tokens) == {A: "ada"}
    problems = [record.message for record in caplog.records]
    assert len(problems) == 2 and "tokens:2: token_file: invalid line" in problems[0] and "cannot read" in problems[1]
    path.write_text(f"bob {B}\n")
    assert tokens.reread() and dict(tokens) == {B: "bob"} and A not in tokens and len(tokens) == 1
