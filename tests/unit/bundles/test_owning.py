"""Which ignored paths are left to each trial."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.bundles import unlinked
from orchestune.bundles.unlinked import divide

FILES = ("best.pt", "base.pt", "deep/best.pt", "outputs/model.pt", "outputs/old/model.pt", "outputs/log.txt", "data/x")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "project"


@pytest.mark.parametrize(
    ("keep", "linked", "own", "folders"),
    [
        ((), "base.pt best.pt data deep/best.pt outputs", "", ""),
        (("best.pt",), "base.pt data deep/best.pt outputs", "best.pt", ""),
        (("./best.pt",), "base.pt data deep/best.pt outputs", "best.pt", ""),
        (("*.pt",), "data deep/best.pt outputs", "base.pt best.pt", ""),
        (("**/best.pt",), "base.pt data outputs", "best.pt deep/best.pt", ""),
        (("*", "**/*", "*.*"), "base.pt best.pt data deep/best.pt outputs", "", ""),
        (("deep/*.pt",), "base.pt best.pt data outputs", "deep/best.pt", ""),
        (("deep",), "base.pt best.pt data outputs", "deep/best.pt", ""),
        (
            ("outputs/model.pt",),
            "base.pt best.pt data deep/best.pt outputs/log.txt outputs/old",
            "outputs/model.pt",
            "outputs",
        ),
        (
            ("outputs/*/model.pt",),
            "base.pt best.pt data deep/best.pt outputs/log.txt outputs/model.pt",
            "outputs/old",
            "outputs outputs/old",
        ),
        (("outputs",), "base.pt best.pt data deep/best.pt", "outputs", "outputs"),
        (("outputs/**",), "base.pt best.pt data deep/best.pt", "outputs", "outputs"),
        (("data/plots/*.png",), "base.pt best.pt data/x deep/best.pt outputs", "", "data"),
        (("*/model.pt",), "base.pt best.pt data deep/best.pt outputs", "", ""),
    ],
)
def test_what_keep_names_is_not_linked_and_the_rest_is(
    project: Path, keep: tuple[str, ...], linked: str, own: str, folders: str
) -> None:
    division = divide(project, ["best.pt", "base.pt", "deep/best.pt", "outputs", "data"], keep)
    assert (" ".join(division.linked), " ".join(division.own), " ".join(division.folders)) == (linked, own, folders)


def test_a_linked_folder_is_divided_and_not_packed(project: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "train.csv").touch()
    (project / "big").symlink_to(tmp_path / "elsewhere")
    division = divide(project, ["big"], ["big/plots/*.png"])
    assert (division.linked, division.own, division.folders) == (("big/train.csv",), (), ())


def test_a_folder_of_very_many_entries_is_not_linked_one_by_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlinked, "_MAX_LINKED_ENTRIES", 2)
    division = divide(project, ["outputs"], ["outputs/model.pt"])
    assert (division.linked, division.own, division.folders) == ((), ("outputs",), ("outputs",))
