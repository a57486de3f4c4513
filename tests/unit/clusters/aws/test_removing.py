"""Taking away what there may be a lot of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestune.clusters.aws import removing
from orchestune.clusters.aws.cluster_lock import _HOLDER_TIMEOUT
from orchestune.clusters.aws.inventory import other
from orchestune.clusters.aws.names import TAG, Names
from tests.unit.clusters.aws.answers import Answers, refusal

NAMES = Names("lab", "eu-central-1", "123456789012")


class Bucket(Answers):
    """A bucket of ours, of which a thousand objects go in a second."""

    def __init__(self, versions: int, markers: int) -> None:
        self.there = True
        self.left = {"Versions": versions, "DeleteMarkers": markers}
        super().__init__(
            s3__HeadBucket=lambda _: {} if self.there else refusal("HeadBucket", "404"),
            s3__GetBucketTagging={"TagSet": [{"Key": TAG, "Value": "lab"}]},
            s3__ListMultipartUploads={"Uploads": [{"Key": "a", "UploadId": "1"}]},
            s3__AbortMultipartUpload={},
            s3__ListObjectVersions=lambda _: {
                kind: [{"Key": f"{number}", "VersionId": "1"} for number in range(count)]
                for kind, count in self.left.items()
            },
            s3__DeleteObjects=self._delete,
            s3__DeleteBucket=self._remove,
        )

    def _delete(self, request: Mapping[str, Any]) -> Any:
        self.now += 1.0
        kind = "Versions" if self.left["Versions"] else "DeleteMarkers"
        assert 0 < len(request["Delete"]["Objects"]) <= 1000
        self.left[kind] -= len(request["Delete"]["Objects"])
        return {}

    def _remove(self, request: Mapping[str, Any]) -> Any:
        assert not any(self.left.values())
        self.there = False
        return {}


def test_while_a_full_bucket_is_emptied_its_remover_shows_that_he_is_alive() -> None:
    aws = Bucket(150_000, 2_500)
    [kind] = [each for each in other.resource_kinds(aws, NAMES, keep_registry=True) if each.kind == "bucket"]
    beats = [0.0]
    assert removing._remove_all(aws, kind, lambda event: None, lambda: beats.append(aws.now)) == []
    assert not aws.there
    assert max(after - before for before, after in zip(beats, [*beats[1:], aws.now], strict=True)) < _HOLDER_TIMEOUT / 2
