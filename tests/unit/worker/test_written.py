"""Files that an attempt wrote and nothing keeps."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestune.worker.files import written
from orchestune.worker.files.unkept import WrittenFile, note, worth_keeping
from orchestune.worker.files.view import TrialFolder
from orchestune.worker.files.written import WrittenFiles


class Attempt:
    """An attempt that has written files into its work folder, as far as `WrittenFiles` knows one."""

    def __init__(
        self,
        view: TrialFolder,
        identity: str,
        keep: tuple[str, ...] = (),
        state: str = "succeeded",
        folder: str = "",
    ) -> None:
        self.id, self.superseded, self.said = identity, False, list[str]()
        self.job = SimpleNamespace(keep=keep, folder=folder, collect=[{"kind": "csv", "where": "metrics.csv"}])
        self.slot = SimpleNamespace(view=view)
        self.write, self._state = self.said.append, state

    def outcome(self) -> str:
        return self._state


def ended(files: WrittenFiles, view: TrialFolder, identity: str, size: int = 10, **options: Any) -> Attempt:
    """Return an attempt that wrote `out/model` of that size, and other files, and has ended."""
    view.prepare(None, {})
    attempt = Attempt(view, identity, **options)
    files.begin(attempt)  # type: ignore[arg-type]
    (view.folder / "out").mkdir()
    for path, length in {"out/model": size, "log.txt": 5, "metrics.csv": 9, ".cache": 9, "empty": 0}.items():
        (view.folder / path).write_bytes(b"x" * length)
    files.end(attempt)  # type: ignore[arg-type]
    return attempt


@pytest.fixture
def view(tmp_path: Path) -> TrialFolder:
    return TrialFolder(tmp_path / "slot")


def test_what_an_attempt_wrote_outlives_its_work_folder(tmp_path: Path, view: TrialFolder) -> None:
    files = WrittenFiles(tmp_path / "retained")
    assert ended(files, view, "a1").said == []
    view.prepare(None, {})
    assert (tmp_path / "retained/a1/out/model").read_bytes() == b"x" * 10
    listed = json.loads((tmp_path / "retained/a1.json").read_text())
    assert listed == {"folder": "", "files": [["out/model", 10], ["log.txt", 5]]}
    assert not (tmp_path / "retained/a1/metrics.csv").exists()
    assert not list(view.folder.iterdir())


def test_the_work_folder_of_a_running_attempt_is_found_by_its_id(tmp_path: Path, view: TrialFolder) -> None:
    files = WrittenFiles(tmp_path / "retained")
    view.prepare(None, {})
    attempt = Attempt(view, "a1", state="failed")
    files.begin(attempt)  # type: ignore[arg-type]
    (view.folder / "model").write_text("so far")
    assert (tmp_path / "retained/a1/model").read_text() == "so far"
    files.end(attempt)  # type: ignore[arg-type]
    assert not list((tmp_path / "retained").iterdir())


def test_without_a_folder_the_log_names_the_files_and_the_key_that_keeps_them(view: TrialFolder) -> None:
    [message] = ended(WrittenFiles(None), view, "a1", size=3_200_000).said
    assert message == "wrote out/model (3.2 MB), log.txt (5 B); keep them with `keep: [out/model, log.txt]`"
    [message] = ended(WrittenFiles(None), view, "a4", folder="out").said
    assert message == "wrote model (10 B), ../log.txt (5 B); keep them with `keep: [model]`"
    [message] = ended(WrittenFiles(None), view, "a5", folder="elsewhere/below").said
    assert message.endswith("../../log.txt (5 B), outside the folder of the command, where `keep` finds nothing")
    assert ended(WrittenFiles(None), view, "a2", keep=("out/*",)).said == []
    assert ended(WrittenFiles(None), view, "a3", state="failed").said == []


def test_the_oldest_files_are_removed_beyond_the_limit(
    tmp_path: Path, view: TrialFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "MAX_RETAINED_BYTES", 50)
    files = WrittenFiles(tmp_path / "retained")
    for identity in ("a1", "a2", "a3", "a4"):
        ended(files, view, identity)
    assert sorted(path.name for path in (tmp_path / "retained").iterdir()) == [
        "a2", "a2.json", "a3", "a3.json", "a4", "a4.json"
    ]  # fmt: skip
    ended(files, view, "a5", size=60)
    assert not (tmp_path / "retained/a5/out").exists(), "one that is larger than the limit is only listed"
    assert json.loads((tmp_path / "retained/a5.json").read_text())["files"][0] == ["out/model", 60]


def test_only_new_files_count_and_a_large_folder_is_not_searched(tmp_path: Path, view: TrialFolder) -> None:
    view.prepare(None, {"data": str(tmp_path)})
    (view.folder / "new").write_text("new")
    assert view.written(10) == [("new", 3)]
    assert view.written(1) == []


def test_a_folder_that_cannot_be_written_costs_the_files_and_nothing_else(tmp_path: Path, view: TrialFolder) -> None:
    (tmp_path / "retained").write_text("a file")
    assert ended(WrittenFiles(tmp_path / "retained"), view, "a1").said == []


def test_names_that_a_terminal_or_yaml_would_misread_are_left_out_or_quoted() -> None:
    files = [WrittenFile(path, 1000) for path in ("a b.pt", "x\x1b[2J", "__pycache__/m.pyc", "\udcff", "ok/.hidden")]
    assert note(worth_keeping(files, [])) == 'wrote a b.pt (1.0 kB); keep it with `keep: ["a b.pt"]`'
    many = [WrittenFile(f"f{index}", 5) for index in range(5)]
    assert note(many) == "wrote f0 (5 B), f1 (5 B), f2 (5 B) and 2 more; keep them with `keep: [f0, f1, f2]`"
