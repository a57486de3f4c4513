from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import pytest
from moto.server import ThreadedMotoServer

from orchestune.errors import NotFound, StoreUnavailable
from orchestune.files.object_errors import object_errors
from orchestune.files.object_store import ObjectFiles
from orchestune.files.open import open_files
from orchestune.ports.files import FileStore, FileStoreUnreachable
from tests.contract.files_contract import FilesContract, content, put, sha256, upload
from tests.testbeds.gateways import tls_front
from tests.testbeds.kubernetes.pki import Authority

NUMBERS = count()


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A real HTTP server of the S3 protocol, with credentials that it accepts."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        environment.delenv("AWS_PROFILE", raising=False)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        try:
            yield f"http://{host}:{port}"
        finally:
            server.stop()


@pytest.fixture
def bucket(endpoint: str) -> Iterator[str]:
    name = f"bucket-{next(NUMBERS)}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket=name)
    yield name
    client.close()


class TestObjectStore(FilesContract):
    @pytest.fixture
    def files(self, bucket: str, endpoint: str) -> FileStore:
        return ObjectFiles(bucket, "some/prefix", endpoint)


def names(bucket: str, endpoint: str) -> list[str]:
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    client.close()
    return keys


def unfinished(bucket: str, endpoint: str) -> int:
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    number = len(client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))
    client.close()
    return number


def test_stores_with_different_prefixes_share_a_bucket(bucket: str, endpoint: str) -> None:
    one, other, bare = (ObjectFiles(bucket, prefix, endpoint) for prefix in ("one", "/other/", ""))
    put(one, "a", b"1")
    put(other, "a", b"2")
    put(bare, "b", b"3")
    assert names(bucket, endpoint) == ["b", "one/a", "other/a"]
    assert list(one.keys("")) == ["a"]
    assert content(other, "a") == b"2"


def test_an_address_reaches_the_endpoint_of_the_environment(
    bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    put(open_files(f"s3://{bucket}/a/b/"), "c", b"x")
    assert names(bucket, endpoint) == ["a/b/c"]


def test_a_finished_or_dropped_upload_leaves_no_part(bucket: str, endpoint: str) -> None:
    files = ObjectFiles(bucket, endpoint_url=endpoint)
    data = bytes(20 << 20)
    upload(files, "one", data, part=8 << 20)
    files.commit("one", "x", sha256(data))
    files.append("two", 0, b"x")
    files.abort("two")
    assert names(bucket, endpoint) == ["x"]
    assert unfinished(bucket, endpoint) == 0


def test_a_gap_that_racing_senders_left_is_filled_by_the_next_part(bucket: str, endpoint: str) -> None:
    files = ObjectFiles(bucket, endpoint_url=endpoint)
    files.append("one", 0, b"01234")
    files.append("one", 5, b"56789")
    part = names(bucket, endpoint)[0]
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.put_object(Bucket=bucket, Key=part, Body=b"012")  # the late, shorter part of another sender
    client.close()
    assert files.append("one", 10, b"x") == 3
    assert files.append("one", 3, b"34567") == 8
    assert files.append("one", 8, b"89") == 10
    assert files.commit("one", "x", sha256(b"0123456789")) == 10


def test_more_keys_than_one_page_are_listed(bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "7")
    files = ObjectFiles(bucket, endpoint_url=endpoint)
    keys = [f"{number:02d}" for number in range(20)]
    for key in keys:
        put(files, key, b"")
    assert len(names(bucket, endpoint)) == 7
    assert list(files.keys("")) == keys


def test_a_missing_bucket_says_what_to_do(endpoint: str) -> None:
    files = ObjectFiles("no-such-bucket", endpoint_url=endpoint)
    with pytest.raises(StoreUnavailable, match="NoSuchBucket") as caught:
        put(files, "a", b"x")
    assert "create the bucket" in caught.value.hint
    with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
        list(files.keys(""))


def test_a_server_that_is_away_is_temporary(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        files = ObjectFiles("bucket", endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(FileStoreUnreachable, match="cannot be reached"):
            files.size("a")


@pytest.mark.parametrize(
    ("status", "expected"), [(403, StoreUnavailable), (503, FileStoreUnreachable), (507, StoreUnavailable)]
)
def test_a_server_that_was_asked_several_times_in_vain_is_away_and_one_that_refuses_is_not(
    status: int, expected: type[StoreUnavailable]
) -> None:
    answer = {"Error": {"Code": "Code"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(StoreUnavailable) as caught, object_errors("s3://bucket"):
        raise botocore.exceptions.ClientError(answer, "PutObject")  # type: ignore[arg-type]
    assert type(caught.value) is expected


def test_a_server_of_an_unknown_authority_is_told_with_how_it_gets_known(
    bucket: str, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    authority = Authority.create(tmp_path / "authority")
    authority.issue("bucket", "bucket", hosts=["127.0.0.1"])
    pair = authority.folder / "bucket.crt", authority.folder / "bucket.key"
    upstream = urlsplit(endpoint)
    with tls_front("127.0.0.1", *pair, (str(upstream.hostname), int(upstream.port or 0))) as front:
        place = f"https://127.0.0.1:{front.port}"
        with pytest.raises(StoreUnavailable, match="cannot be reached: TLS failed") as caught:
            ObjectFiles(bucket, endpoint_url=place).size("a")
        assert "AWS_CA_BUNDLE" in caught.value.hint and "--ca FILE" in caught.value.hint
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.folder / "ca.crt"))
        files = ObjectFiles(bucket, endpoint_url=place)
        put(files, "trusted", b"x")
        assert files.size("trusted") == 1


def test_an_answer_that_breaks_off_is_an_error_and_no_short_file() -> None:
    with pytest.raises(StoreUnavailable), object_errors("s3://bucket"):
        raise botocore.exceptions.ResponseStreamingError(error="connection broken")


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(botocore.exceptions).values()
        if isinstance(kind, type) and issubclass(kind, botocore.exceptions.BotoCoreError)
    ],
)
def test_every_error_of_the_vendor_is_translated(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    with pytest.raises(StoreUnavailable), object_errors("s3://bucket"):
        raise error


@pytest.mark.parametrize(
    ("code", "expected"), [("NoSuchKey", NotFound), ("404", NotFound), ("SlowDown", StoreUnavailable)]
)
def test_an_answer_is_translated_by_its_code_and_its_text_is_not_passed_on(
    code: str, expected: type[Exception]
) -> None:
    answer = {"Error": {"Code": code, "Message": "key AKIAEXAMPLE"}}
    with pytest.raises(expected) as caught, object_errors("s3://bucket", "a"):
        raise botocore.exceptions.ClientError(answer, "GetObject")  # type: ignore[arg-type]
    assert "AKIAEXAMPLE" not in str(caught.value)
