from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestune.errors import BadInput, StoreUnavailable
from orchestune.files.secrets import FolderSecrets

VALUES = {"API_KEY": "swordfish", "EMPTY": "", "LINES": "a\nb\x00ü"}


def test_values_are_read_back_also_by_another_process(tmp_path: Path) -> None:
    FolderSecrets(tmp_path / "secrets").put("one", VALUES)
    assert FolderSecrets(tmp_path / "secrets").get("one") == VALUES


def test_putting_again_replaces_and_no_values_are_none(tmp_path: Path) -> None:
    secrets = FolderSecrets(tmp_path)
    secrets.put("one", VALUES)
    secrets.put("one", {"OTHER": "x"})
    assert secrets.get("one") == {"OTHER": "x"}
    secrets.put("one", {})
    assert secrets.get("one") == {}
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_experiment_has_none_and_deleting_it_is_no_error(tmp_path: Path) -> None:
    secrets = FolderSecrets(tmp_path / "missing")
    secrets.delete("one")
    assert secrets.get("one") == {}


def test_nobody_else_can_read_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)
    FolderSecrets(folder).put("one", VALUES)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]


@pytest.mark.parametrize("name", ["", "..", "a/b", "a.b", "a" * 101])
def test_a_name_that_is_no_id_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput):
        FolderSecrets(tmp_path).put(name, VALUES)


def test_an_error_names_the_folder_and_no_value(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable) as caught:
        FolderSecrets(tmp_path / "file" / "secrets").put("one", VALUES)
    assert "swordfish" not in f"{caught.value} {caught.value.hint}"


def test_a_reader_sees_one_of_the_values_whole_while_others_write(tmp_path: Path) -> None:
    secrets = FolderSecrets(tmp_path)
    versions = [{"KEY": str(number) * 10_000} for number in range(4)]
    secrets.put("one", versions[0])

    def write(values: dict[str, str]) -> None:
        for _ in range(10):
            secrets.put("one", values)

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, values) for values in versions]
        while not all(writer.done() for writer in writers):
            assert secrets.get("one") in versions
    assert [path.name for path in tmp_path.iterdir()] == ["one.json"]
