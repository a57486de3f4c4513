"""Bundles are read by everybody who sees the experiment: keys and credentials in the folder stay where they are."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from orchestune.bundles.listing import plan
from orchestune.bundles.pack import pack
from orchestune.cli.experiments import destination
from orchestune.cli.experiments.prepare import listed
from orchestune.client.address import place
from orchestune.domain.specification.code import CodeSettings
from orchestune.domain.specification.experiment import Specification
from orchestune.sdk.project_files import list_project, note_of_secrets
from tests.security.target import SPECIFICATION

LIMIT = 1 << 24
BODY = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"] * 3)


def pem(kind: str = "", after: str = "") -> str:
    return f"{after}-----BEGIN {kind}PRIVATE KEY-----\n{BODY}\n-----END {kind}PRIVATE KEY-----\n"


KEYS = {
    "deploy_key": pem("OPENSSH "),
    "tls/server.pem": pem(after="-----BEGIN CERTIFICATE-----\n" + BODY * 20 + "\n-----END CERTIFICATE-----\n"),
    "notes.txt": pem("RSA ", after="the key of the staging machine:\n\n"),
    "bag.txt": pem("ENCRYPTED ", after="Bag Attributes\n    localKeyID: 01\n"),
    "service-account.json": '{"type": "service_account", "private_key": "' + pem("EC ").replace("\n", "\\n") + '"}',
    "windows.ppk": f"PuTTY-User-Key-File-3: ssh-ed25519\r\nEncryption: none\r\n{BODY}\r\n",
    "dos.key": pem().replace("\n", "\r\n"),
    "backup.asc": f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{BODY}\n-----END PGP PRIVATE KEY BLOCK-----\n",
}
CREDENTIALS = (".env", ".env.production", ".netrc", ".ssh/config", ".aws/credentials", ".kube/config", "deep/.ssh/id")


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, newline="")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    for name, text in KEYS.items():
        write(folder, name, text)
    for name in CREDENTIALS:
        write(folder, name, "PASSWORD=hunter2")
    for name in (".env.example", "train.py", "environment.env", "data.csv"):
        write(folder, name, "x = 1\n" * 100)
    write(folder, "keys.py", f"MARK = '-----BEGIN PRIVATE KEY-----'\n{'#' * 200}\n")
    return folder


def packed(folder: Path, target: Path, ignore: tuple[str, ...] = ()) -> dict[str, bytes]:
    with tarfile.open(pack(folder, ignore, LIMIT, target).path) as archive:
        members = [member for member in archive if member.isfile()]
        return {member.name: archive.extractfile(member).read() for member in members}  # type: ignore[union-attr]


def test_no_key_and_no_credential_is_in_a_bundle(project: Path, tmp_path: Path) -> None:
    content = packed(project, tmp_path / "bundle")
    assert sorted(content) == [".env.example", "data.csv", "environment.env", "keys.py", "train.py"]
    assert not any(b"hunter2" in data or BODY[:40].encode() in data for data in content.values())


def test_what_is_left_out_is_named_with_the_way_to_take_it_along(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders = {".ssh", ".aws", ".kube", "deep/.ssh", ".env", ".env.production", ".netrc"}
    assert set(plan(project, (), LIMIT).secrets) == folders | KEYS.keys()
    specification = Specification.from_json(SPECIFICATION)
    assert set(list_project(specification, project, CodeSettings()).secrets) == folders | KEYS.keys()
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("ORCHESTUNE_SERVER", raising=False)
    notes = destination.notes(place(), listed(specification, project, CodeSettings()))
    (note,) = [note for note in notes if "secrets" in note]
    assert note.startswith("not packed because of secrets: .aws, .env") and "`!.aws` to `ignore`" in note
    assert note_of_secrets(["id"]).endswith("add `!id` to `ignore` under `code:` to pack it anyway")


def test_a_key_is_taken_along_where_the_user_says_so(project: Path, tmp_path: Path) -> None:
    write(project, ".orchestuneignore", "!tls/server.pem\n")
    content = packed(project, tmp_path / "bundle", ("!/deploy_key", "!.netrc"))
    assert {"deploy_key", "tls/server.pem", ".netrc"} < content.keys() and "notes.txt" not in content


def test_what_the_user_ignores_is_not_noted_again(project: Path) -> None:
    write(project, ".gitignore", ".env*\n*.txt\n.ssh/\n")
    listing = plan(project, (), LIMIT)
    assert not {".env", "notes.txt", ".ssh"} & set(listing.secrets) and {".env", "notes.txt"} < set(listing.left_out)


def test_a_pattern_that_takes_everything_back_in_git_takes_no_key(project: Path, tmp_path: Path) -> None:
    write(project, ".gitignore", "*\n!*\n!.env\n")
    assert not packed(project, tmp_path / "bundle").keys() & {*KEYS, *CREDENTIALS}


def test_a_key_that_comes_between_two_looks_stays_out(project: Path, tmp_path: Path) -> None:
    write(project, "late", "nothing yet\n" * 20)
    assert "late" in packed(project, tmp_path / "one")
    write(project, "late", pem())
    assert "late" not in packed(project, tmp_path / "two")
