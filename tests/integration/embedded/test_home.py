from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orchestune.client.local import home
from orchestune.errors import UsageError
from orchestune.store.database import open_store


def test_the_state_folder_follows_the_xdg_rules(tmp_path: Path) -> None:
    assert home.state_folder({"HOME": str(tmp_path)}) == tmp_path / ".local/state/orchestune"
    assert home.state_folder({"HOME": "/x", "XDG_STATE_HOME": str(tmp_path / "s")}) == tmp_path / "s/orchestune"
    relative = {"HOME": str(tmp_path), "XDG_STATE_HOME": "relative/is/ignored"}
    assert home.state_folder(relative) == tmp_path / ".local/state/orchestune"


def test_one_variable_moves_everything(tmp_path: Path) -> None:
    environ = {"ORCHESTUNE_HOME": str(tmp_path / "mine"), "XDG_STATE_HOME": "/x", "HOME": "/x"}
    assert home.state_folder(environ) == tmp_path / "mine"


def test_the_variable_may_start_at_the_home_folder_or_at_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert home.state_folder({"ORCHESTUNE_HOME": "here"}) == tmp_path / "here"
    assert home.state_folder({"ORCHESTUNE_HOME": "~/there", "HOME": str(tmp_path)}) == tmp_path / "there"


def test_folders_are_made_for_their_owner_alone_and_existing_ones_stay_as_they_are(tmp_path: Path) -> None:
    folder = home.state_folder({"ORCHESTUNE_HOME": str(tmp_path / "a/b")})
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)] == [0o700, 0o700]
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    assert stat.S_IMODE(home.state_folder({"ORCHESTUNE_HOME": str(tmp_path / "open")}).stat().st_mode) == 0o755


def below(folder: Path, size: int) -> Path:
    """A folder in `folder` whose path has that many bytes."""
    while size - len(str(folder)) > 202:
        folder /= "d" * 200
    return folder / ("e" * (size - len(str(folder)) - 1))


def test_a_path_that_is_too_long_for_the_database_is_told_by_its_beginning(tmp_path: Path) -> None:
    longest, longer = below(tmp_path, home.MAX_PATH_BYTES), below(tmp_path, home.MAX_PATH_BYTES + 1)
    assert home.state_folder({"ORCHESTUNE_HOME": str(longest)}) == longest
    open_store(f"sqlite:///{longest / 'orchestune.db'}").close()
    longer.mkdir(parents=True)
    (tmp_path / "short").symlink_to(longer)
    for path in (longer, tmp_path / "short", below(tmp_path, 5000)):
        with pytest.raises(UsageError, match=r"has (481|5,000) bytes \(expected at most 480\)") as caught:
            home.state_folder({"ORCHESTUNE_HOME": str(path)})
        assert len(caught.value.message) < 200
        assert "ORCHESTUNE_HOME" in caught.value.hint


@pytest.mark.parametrize("place", ["/proc/nothing/can/be/made/here", "/dev/null", "/dev/null/x"])
def test_a_folder_that_cannot_be_made_is_an_error_that_says_what_to_set(place: str) -> None:
    with pytest.raises(UsageError) as caught:
        home.state_folder({"ORCHESTUNE_HOME": place})
    assert place in caught.value.message
    assert "ORCHESTUNE_HOME" in caught.value.hint
