"""Requests for image repositories and the bucket."""

from __future__ import annotations

import json
from typing import Any

from orchestune.clusters.aws.names import Names

Document = dict[str, Any]
_MAX_IMAGES = 300


def repository(names: Names, name: str) -> Document:
    """Return the CreateRepository request."""
    return {
        "repositoryName": names.repository(name),
        "imageScanningConfiguration": {"scanOnPush": True},
        "encryptionConfiguration": {"encryptionType": "AES256"},
        "tags": names.tag_list(name),
    }


def lifecycle(names: Names, name: str) -> Document:
    """Return the PutLifecyclePolicy request: expires the oldest images."""
    rule = {
        "rulePriority": 1,
        "description": f"keeps the newest {_MAX_IMAGES} images",
        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": _MAX_IMAGES},
        "action": {"type": "expire"},
    }
    return {"repositoryName": names.repository(name), "lifecyclePolicyText": json.dumps({"rules": [rule]})}


def bucket(names: Names) -> Document:
    """Return the CreateBucket request. us-east-1 must not be named as a location."""
    request: Document = {"Bucket": names.bucket}
    if names.region != "us-east-1":
        request["CreateBucketConfiguration"] = {"LocationConstraint": names.region}
    return request


def public_access_block(names: Names) -> Document:
    """Return the PutPublicAccessBlock request: prevents making the bucket public by mistake."""
    settings = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    return {"Bucket": names.bucket, "PublicAccessBlockConfiguration": dict.fromkeys(settings, True)}


def bucket_tags(names: Names) -> Document:
    """Return the PutBucketTagging request."""
    return {"Bucket": names.bucket, "Tagging": {"TagSet": names.tag_list("files")}}
