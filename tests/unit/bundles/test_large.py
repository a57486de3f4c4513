"""The data that are linked because the folder is too large to be packed."""

from __future__ import annotations

from orchestune.bundles.large import large_data, without
from orchestune.bundles.listing import ArchiveEntry, EntryKind


def entries(**sizes: int) -> list[ArchiveEntry]:
    return [ArchiveEntry(path, EntryKind.FILE, size) for path, size in sizes.items()]


FILES = entries(
    **{
        "train.py": 10,
        "notes.txt": 5,
        "data/train/a.bin": 300,
        "data/train/b.bin": 300,
        "data/test/a.bin": 100,
        "pkg/model.py": 20,
        "pkg/weights.bin": 200,
        "exp/config/a.yml": 50,
    }
)


def test_the_largest_data_are_selected_until_the_rest_fits() -> None:
    assert large_data(FILES, 10_000, "") == {}
    assert large_data(FILES, 400, "") == {"data": 700}
    assert large_data(FILES, 100, "") == {"data": 700, "pkg/weights.bin": 200}
    assert large_data(FILES, 1, "") == {"data": 700, "pkg/weights.bin": 200, "exp": 50, "notes.txt": 5}


def test_source_code_and_the_working_folder_stay_in_each_trial() -> None:
    selected = large_data([*FILES, *entries(**{"data/fetch.py": 1})], 1, "exp/config")
    assert selected == {
        "data/train": 600, "data/test": 100, "pkg/weights.bin": 200, "exp/config/a.yml": 50, "notes.txt": 5,
    }  # fmt: skip


def test_what_is_selected_is_not_packed() -> None:
    packed = without(FILES, ["data", "pkg/weights.bin"])
    assert [entry.path for entry in packed] == ["train.py", "notes.txt", "pkg/model.py", "exp/config/a.yml"]
