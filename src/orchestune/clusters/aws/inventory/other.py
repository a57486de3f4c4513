"""Registry, bucket, function, roles. The control plane's role is last: it proves that the cluster is Orchestune's."""

from __future__ import annotations

from itertools import islice

from orchestune.clusters.aws.claim import role_tags
from orchestune.clusters.aws.client import Aws, named
from orchestune.clusters.aws.inventory.resources import Resource, ResourceKind
from orchestune.clusters.aws.lambda_function import described, ours
from orchestune.clusters.aws.names import REPOSITORIES, TAG, Names
from orchestune.clusters.aws.requests.roles import AUTOSCALER, CNI, CONTROL, NODE, RETIREMENT, SERVER, STORAGE
from orchestune.clusters.aws.steps.storage import bucket_owner, repository
from orchestune.errors import Conflict, TemporaryError

_BATCH = 1000
"""objects per DeleteObjects request"""
_AT_ONCE = 20.0
"""seconds of emptying a bucket before the lock needs a heartbeat"""
_SECONDS = 14400.0
"""timeout in seconds for emptying the bucket"""


def shelves(aws: Aws, names: Names, *, keep_registry: bool, within: bool = False) -> list[ResourceKind]:
    """Return the kinds in removal order. `within`: without the removing function and its own role."""
    others: tuple[str, ...] = (SERVER, AUTOSCALER, STORAGE, CNI, NODE)
    function = [] if within else [ResourceKind("Lambda", "function", lambda: functions(aws, names))]
    others = others if within else (RETIREMENT, *others)
    kept = [] if keep_registry else [ResourceKind("ECR", "repository", lambda: _repositories(aws, names))]
    return [
        *kept,
        ResourceKind("S3", "bucket", lambda: _buckets(aws, names), _SECONDS),
        *function,
        ResourceKind("IAM", "role", lambda: role_things(aws, names, others)),
        ResourceKind("IAM", "role", lambda: role_things(aws, names, (CONTROL,))),
    ]


def _repositories(aws: Aws, names: Names) -> list[Resource]:
    found = []
    for name in REPOSITORIES:
        shown = repository(aws, names, name)
        if shown is None:
            continue
        tags = aws.call("ecr", "ListTagsForResource", {"resourceArn": shown["repositoryArn"]})
        if named(tags.get("tags") or [], TAG) != names.cluster:
            continue
        full = names.repository(name)

        def remove(full: str = full) -> None:
            request = {"repositoryName": full, "force": True}
            aws.call("ecr", "DeleteRepository", request, about=f"repository {full}")

        found.append(Resource(full, full, remove))
    return found


def _buckets(aws: Aws, names: Names) -> list[Resource]:
    if bucket_owner(aws, names) != names.cluster:
        return []

    def remove() -> None:
        _empty(aws, names.bucket)
        aws.call("s3", "DeleteBucket", {"Bucket": names.bucket}, about=f"bucket {names.bucket}")

    return [Resource(names.bucket, names.bucket, remove)]


def _empty(aws: Aws, bucket: str) -> None:
    """Delete all objects and uploads. Raises TemporaryError after `_AT_ONCE`: there may be millions of objects."""
    until = aws.clock() + _AT_ONCE
    about, asked = f"bucket {bucket}", {"Bucket": bucket}
    for item in aws.pages("s3", "ListMultipartUploads", "Uploads", asked, about=about):
        request = {**asked, "Key": item["Key"], "UploadId": item["UploadId"]}
        aws.call("s3", "AbortMultipartUpload", request, about=about)
        _in_time(aws, until, about)
    for key in ("Versions", "DeleteMarkers"):
        found = aws.pages("s3", "ListObjectVersions", key, asked, about=about)
        while batch := [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in islice(found, _BATCH)]:
            request = {**asked, "Delete": {"Objects": batch, "Quiet": True}}
            answer = aws.call("s3", "DeleteObjects", request, about=about)
            for item in answer.get("Errors") or ():
                raise Conflict(f"{about}: {item.get('Key')} stays: {item.get('Message') or item.get('Code')}")
            _in_time(aws, until, about)


def _in_time(aws: Aws, until: float, about: str) -> None:
    if aws.clock() > until:
        raise TemporaryError(f"{about}: there is more in it", "repeat the command: it goes on from there")


def functions(aws: Aws, names: Names) -> list[Resource]:
    """Return the function that removes an idle cluster, if it exists."""
    found = described(aws, names)
    if found is None or not ours(found, names):
        return []

    def remove() -> None:
        aws.call("lambda", "DeleteFunction", {"FunctionName": names.function}, about=f"function {names.function}")

    return [Resource(names.function, names.function, remove)]


def role_things(aws: Aws, names: Names, parts: tuple[str, ...]) -> list[Resource]:
    """Return the existing roles of these parts."""
    found = []
    for part in parts:
        name = names.role(part)
        if named(role_tags(aws, name) or [], TAG) != names.cluster:
            continue

        def remove(name: str = name) -> None:
            strip(aws, name)
            aws.call("iam", "DeleteRole", {"RoleName": name}, about=f"role {name}")

        found.append(Resource(name, name, remove))
    return found


def strip(aws: Aws, name: str) -> None:
    """Remove all policies from a role: IAM does not delete a role that has any."""
    about, asked = f"role {name}", {"RoleName": name}
    for item in aws.pages("iam", "ListAttachedRolePolicies", "AttachedPolicies", asked, about=about):
        aws.call("iam", "DetachRolePolicy", {**asked, "PolicyArn": item["PolicyArn"]}, about=about)
    for policy in aws.pages("iam", "ListRolePolicies", "PolicyNames", asked, about=about):
        aws.call("iam", "DeleteRolePolicy", {**asked, "PolicyName": policy}, about=about)
