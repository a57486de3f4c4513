"""A hostile trial has the token of its worker: it must not reach bytes of other experiments, nor write anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestune.controllers.garbage_collection import UPLOAD_SECONDS
from orchestune.errors import Throttled
from orchestune.server import upload_limits
from orchestune.services.execution import uploads
from tests.security.target import SPECIFICATION, Target, Trial, attacked, digest_of
from tests.unit.server.harness import Reply

SECRET = b"weights of another team" * 100


on_both_stores = pytest.mark.parametrize(
    "target", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
"""for tests of what SQL decides"""


@pytest.fixture
def target(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Target]:
    on_postgres = getattr(request, "param", "sqlite") == "postgresql"
    with attacked(tmp_path, request.getfixturevalue("postgres_database") if on_postgres else None) as new_target:
        yield new_target


@pytest.fixture
def victim(target: Target) -> Trial:
    """A trial that has published a checkpoint and kept an artifact."""
    trial = target.trial()
    assert trial.publish(trial.upload(SECRET)).json() == {"accepted": True}
    assert trial.keep({"path": "best.pt", "digest": digest_of(SECRET), "size": len(SECRET)}).status == 200
    return trial


def can_read(trial: Trial, digest: str) -> bool:
    reply = trial.ask("GET", f"blobs/{digest}")
    assert (reply.status == 404) is (SECRET not in reply.body), reply.status
    return reply.status == 200


@on_both_stores
def test_the_digest_of_other_bytes_cannot_be_claimed_as_a_checkpoint(target: Target, victim: Trial) -> None:
    attacker = target.trial()
    assert not can_read(attacker, digest_of(SECRET))
    for fields in ({}, {"size": len(SECRET)}, {"size": 0}, {"size": 1}):
        assert attacker.publish(digest_of(SECRET), **fields).status >= 400
    assert not can_read(attacker, digest_of(SECRET))
    assert can_read(victim, digest_of(SECRET))


@on_both_stores
def test_the_digest_of_other_bytes_cannot_be_claimed_as_an_artifact(target: Target, victim: Trial) -> None:
    attacker = target.trial()
    for size in (0, 1, len(SECRET)):
        assert attacker.keep({"path": "loot", "digest": digest_of(SECRET), "size": size}).status >= 400
    assert attacker.artifacts() == [] and not can_read(attacker, digest_of(SECRET))


def test_a_worker_does_not_learn_which_bytes_the_server_has(target: Target, victim: Trial) -> None:
    attacker = target.trial()
    upload, unknown = (attacker.ask("HEAD", f"uploads/{digest_of(data)}") for data in (SECRET, b"nobody has this"))
    assert (upload.status, upload.headers["x-size"], "x-complete" in upload.headers) == (200, "0", False)
    assert (unknown.status, unknown.headers["x-size"], "x-complete" in unknown.headers) == (200, "0", False)
    answers = [
        attacker.ask("PUT", f"uploads/{digest_of(data)}?offset=7", b"x") for data in (SECRET, b"nobody has this")
    ]
    assert answers[0].body == answers[1].body == b'{"size":0}'


def test_other_bytes_under_the_digest_do_not_count_however_the_calls_race(target: Target, victim: Trial) -> None:
    attacker = target.trial()

    def publish(_: int) -> int:
        return attacker.publish(digest_of(SECRET)).status

    for _ in range(5):
        assert attacker.ask("PUT", f"uploads/{digest_of(SECRET)}?offset=0", b"garbage").status == 200
        with ThreadPoolExecutor(4) as pool:
            assert min(pool.map(publish, range(4))) >= 400
    assert not can_read(attacker, digest_of(SECRET))


def test_who_has_the_same_bytes_shares_them(target: Target, victim: Trial) -> None:
    other = target.trial()
    assert other.publish(other.upload(SECRET), size=len(SECRET)).json() == {"accepted": True}
    assert can_read(other, digest_of(SECRET))


@on_both_stores
def test_a_worker_may_repeat_what_it_has_published(victim: Trial) -> None:
    repeated = victim.ask("HEAD", f"uploads/{digest_of(SECRET)}")
    assert repeated.headers["x-complete"] == "1"
    assert victim.publish(digest_of(SECRET), size=len(SECRET)).json() == {"accepted": True}
    names = [{"path": path, "digest": digest_of(SECRET), "size": len(SECRET)} for path in ("best.pt", "again.pt")]
    assert victim.keep(*names).status == 200 and victim.artifacts() == ["again.pt", "best.pt"]


def test_an_upload_of_another_size_than_announced_is_refused(target: Target) -> None:
    trial = target.trial()
    assert trial.publish(trial.upload(b"hello"), size=6).status == 400
    assert trial.keep({"path": "a", "digest": trial.upload(b"hello"), "size": 4}).status == 400
    assert trial.artifacts() == []


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "../../x", "a/../../x", "a/..", "./a", "a/.", "a//b", "a/", "/etc/cron.d/x", "//x"),
        *("a\0b", "a\nb", "a\x1b[2Jb", "a\x7fb", "..\\..\\x", "C:\\x", "x" * 4097, "ä" * 2000, "half \ud800"),
    ],
)
def test_the_path_of_an_artifact_leads_nowhere_else(target: Target, path: str) -> None:
    trial = target.trial()
    good = {"path": "good", "digest": trial.upload(b"hello"), "size": 5}
    reply = trial.keep(good, {**good, "path": path})
    assert (reply.status, reply.json()["error"]["code"]) in ((400, "bad_input"), (422, "invalid_call"))
    assert trial.artifacts() == []
    assert trial.keep(good).json() == {"kept": ["good"]}, "the next call is taken"


@pytest.mark.parametrize(
    "changes",
    [
        *({"digest": digest} for digest in ("", "x", "A" * 64, "../../../../etc/passwd", "0" * 63 + "\n", 5, None)),
        *({"size": size} for size in (-1, 2**63, 1e9, True, "5", None)),
        *({"path": path} for path in (5, None, ["a"])),
    ],
)
def test_what_is_no_file_is_refused(target: Target, changes: dict[str, Any]) -> None:
    trial = target.trial()
    file: dict[str, Any] = {"path": "a", "digest": trial.upload(b"hello"), "size": 5} | changes
    assert trial.keep(file).status == 422
    if "path" not in changes and changes.get("size", 0) is not None:
        assert trial.publish(file["digest"], size=file["size"]).status == 422
    assert trial.artifacts() == []


def test_the_numbers_of_a_checkpoint_are_numbers(target: Target) -> None:
    trial = target.trial()
    digest = trial.upload(b"hello")
    wrong: list[Any] = ["now", [], 2.0**64, True]
    for age in wrong:
        assert trial.publish(digest, age=age).status == 422
    assert trial.publish("0" * 64, attempt="a\0b").status == 422
    assert trial.publish(digest, token=2**64).status == 422
    assert trial.publish(digest, age=0.5).json() == {"accepted": True}


def test_very_many_files_in_one_call_are_refused(target: Target) -> None:
    trial = target.trial()
    files = [{"path": str(number), "digest": "0" * 64, "size": 1} for number in range(1001)]
    assert trial.keep(*files).status == 422


def keep(trial: Trial, path: str, data: bytes) -> Reply:
    return trial.keep({"path": path, "digest": trial.upload(data), "size": len(data)})


def test_a_worker_that_ignores_the_limit_of_keep_is_refused(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPECIFICATION, "keep", {"patterns": ["*"], "best": None, "limit": 100})
    trial = target.trial()
    assert keep(trial, "a", b"a" * 60).status == 200
    refused = keep(trial, "b", b"b" * 60)
    assert refused.status == 413 and "keep.limit" in refused.json()["error"]["message"]
    assert trial.artifacts() == ["a"]
    assert keep(trial, "a", b"A" * 100).status == 200, "a call that is repeated replaces the file"
    assert keep(trial, "b", b"").status == 200


def test_a_trial_has_as_many_files_as_its_document_can_list(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_MAX_LISTING_BYTES", 3000)
    trial = target.trial()
    digest = trial.upload(b"x")
    files = [{"path": f"{number:03}", "digest": digest, "size": 1} for number in range(30)]
    assert trial.keep(*files[:10]).status == 200
    trial.upload(b"x")
    refused = trial.keep(*files[10:])
    assert refused.status == 413 and "30 files" in refused.json()["error"]["message"]
    assert len(trial.artifacts()) == 10
    assert trial.keep(*files[10:19]).status == 200


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a"), ("a", "a/b/c")])
def test_a_path_below_a_file_is_refused(target: Target, first: str, second: str) -> None:
    trial = target.trial()
    assert keep(trial, first, b"first").status == 200
    refused = keep(trial, second, b"second")
    assert refused.status == 400 and "is a file too" in refused.json()["error"]["message"]
    assert keep(trial, "a.b", b"third").status == 200, "a name that only begins in the same way"
    assert sorted(trial.artifacts()) == sorted([first, "a.b"])


def test_two_files_of_one_call_cannot_be_below_each_other(target: Target) -> None:
    trial = target.trial()
    files = [{"path": path, "digest": trial.upload(path.encode()), "size": len(path)} for path in ("a", "a/b")]
    assert trial.keep(*files).status == 400 and trial.artifacts() == []


def test_a_worker_has_a_limited_number_of_unfinished_uploads(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_limits, "MAX_UPLOADS", 3)
    trial, other = target.trial(), target.trial()
    contents = [bytes([number]) * 10 for number in range(4)]
    for data in contents[:3]:
        trial.upload(data)
    refused = trial.ask("PUT", f"uploads/{digest_of(contents[3])}?offset=0", contents[3])
    assert refused.status == 429 and "unfinished uploads" in refused.json()["error"]["message"]
    assert trial.upload(contents[0]), "a part that comes again"
    other.upload(contents[3])
    assert keep(trial, "a", contents[0]).status == 200
    trial.upload(contents[3])


def test_a_worker_has_a_limited_number_of_unfinished_bytes(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_limits, "MAX_BYTES", 100)
    trial = target.trial()
    trial.upload(b"a" * 60)
    more, larger = b"b" * 60, b"c" * 101
    assert trial.ask("PUT", f"uploads/{digest_of(more)}?offset=0", more).status == 429
    assert trial.ask("PUT", f"uploads/{digest_of(larger)}?offset=0", larger).status == 413
    assert trial.publish(digest_of(b"a" * 60)).json() == {"accepted": True}
    trial.upload(more)


def test_uploads_that_the_file_store_has_removed_make_room() -> None:
    now = [0.0]
    uploads = upload_limits.UnfinishedUploads(lambda: now[0])
    for number in range(upload_limits.MAX_UPLOADS):
        uploads.admit("w", str(number), 1)
    with pytest.raises(Throttled):
        uploads.admit("w", "more", 1)
    now[0] = UPLOAD_SECONDS + 1
    uploads.admit("w", "more", 1)
