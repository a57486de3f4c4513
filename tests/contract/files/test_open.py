from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestune.errors import BadInput
from orchestune.files.folder import FolderFiles
from orchestune.files.open import open_files
from tests.contract.files_contract import put


@pytest.mark.parametrize("form", ["{}", "file://{}", "file://localhost{}"])
def test_a_path_opens_a_folder(tmp_path: Path, form: str) -> None:
    files = open_files(form.format(tmp_path / "store"))
    assert isinstance(files, FolderFiles)
    put(files, "a", b"x")
    assert (tmp_path / "store" / "a").read_bytes() == b"x"


def test_an_address_with_escapes_is_unquoted(tmp_path: Path) -> None:
    put(open_files(f"file://{tmp_path}/my%20files"), "a", b"x")
    assert (tmp_path / "my files" / "a").exists()


def test_a_bucket_is_opened_without_contacting_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert type(open_files("s3://bucket/some/prefix")).__name__ == "ObjectFiles"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://host/x",
        "file://host/x",
        "file:///",
        "s3://",
        "s3:///x",
        "s3://bucket/x?a=b",
        "s3://key:word@bucket/x",
    ],
)
def test_another_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_files(url)
    assert "s3://bucket/prefix" in str(caught.value)
    assert "word" not in str(caught.value)


def test_a_home_folder_of_nobody_is_told() -> None:
    with pytest.raises(BadInput, match="cannot expand '~nobody-at-all/x': no such user"):
        open_files("~nobody-at-all/x")


def test_a_missing_boto3_says_how_to_install_it_and_folders_work_without(tmp_path: Path) -> None:
    script = """
import sys
sys.modules["boto3"] = None
from orchestune.errors import UsageError
from orchestune.files.open import open_files
open_files(sys.argv[1])
try:
    open_files("s3://bucket")
except UsageError as exc:
    print(exc.hint)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "pip install 'orchestune[s3]'\n", done.stderr
