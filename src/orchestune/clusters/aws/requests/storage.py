"""Requests for image repositories and the bucket."""

from __future__ import annotations

import json
from typing import Any

from orchestune.clusters.aws.names import Names

Document = dict[str, Any]
_KEPT_IMAGES = 300


def repository(names: Names, name: str) -> Document:
    """Return the CreateRepository request."""
    return {
        "repositoryName": names.repository(name),
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfiguration": {"encryptionType": "AES256"},
        "tags": names.listed(name),
    }


def lifecycle(names: Names, name: str) -> Document:
    """Return the PutLifecyclePolicy request: expires the oldest images."""
    rule = {
        "rulePriority": 1,
        "description": f"keeps the newest {_KEPT_IMAGES} images",
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": _KEPT_IMAGES},
        "action": {"type": "expire"},
    }
    return {"repositoryName": names.repository(name), "lifecyclePolicyText": json.dumps({"rules": [rule]})}


def bucket(names: Names) -> Document:
    """Return the CreateBucket request. us-east-1 must not be named as a location."""
    made: Document = {"Bucket": names.bucket}
    if names.region != "us-east-1":
        made["CreateBucketConfiguration"] = {"LocationConstraint": names.region}
    return made


def closed(names: Names) -> Document:
    """Return the PutPublicAccessBlock request: prevents making the bucket public by mistake."""
    doors = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    return {"Bucket": names.bucket, "PublicAccessBlockConfiguration": dict.fromkeys(doors, True)}


def bucket_tags(names: Names) -> Document:
    """Return the PutBucketTagging request."""
    return {"Bucket": names.bucket, "Tagging": {"TagSet": names.listed("files")}}
