"""Registry, bucket, function, roles. The control plane's role is last: it proves that the cluster is Orchestune's."""

from __future__ import annotations

from itertools import islice

from orchestune.clusters.aws.client import Aws, tag_value
from orchestune.clusters.aws.cluster_lock import role_tags
from orchestune.clusters.aws.inventory.resources import Resource, ResourceKind
from orchestune.clusters.aws.lambda_function import describe_function, is_our_function
from orchestune.clusters.aws.names import REPOSITORIES, TAG, Names
from orchestune.clusters.aws.requests.roles import AUTOSCALER, CNI, CONTROL, NODE, RETIREMENT, SERVER, STORAGE
from orchestune.clusters.aws.steps.storage import bucket_owner, repository
from orchestune.errors import Conflict, TemporaryError

_MAX_DELETED_OBJECTS = 1000
"""objects per DeleteObjects request"""
_EMPTYING_SECONDS = 20.0
"""seconds of emptying a bucket per attempt, after which the lock gets a heartbeat"""
_BUCKET_TIMEOUT = 14400.0
"""timeout in seconds for emptying the bucket"""


def resource_kinds(aws: Aws, names: Names, *, keep_registry: bool, inside_lambda: bool = False) -> list[ResourceKind]:
    """Return the kinds in removal order. `inside_lambda`: without the removing function and its own role."""
    parts: tuple[str, ...] = (SERVER, AUTOSCALER, STORAGE, CNI, NODE)
    function = [] if inside_lambda else [ResourceKind("Lambda", "function", lambda: functions(aws, names))]
    parts = parts if inside_lambda else (RETIREMENT, *parts)
    registry = [] if keep_registry else [ResourceKind("ECR", "repository", lambda: _repositories(aws, names))]
    return [
        *registry,
        ResourceKind("S3", "bucket", lambda: _buckets(aws, names), _BUCKET_TIMEOUT),
        *function,
        ResourceKind("IAM", "role", lambda: roles(aws, names, parts)),
        ResourceKind("IAM", "role", lambda: roles(aws, names, (CONTROL,))),
    ]


def _repositories(aws: Aws, names: Names) -> list[Resource]:
    resources = []
    for name in REPOSITORIES:
        description = repository(aws, names, name)
        if description is None:
            continue
        tags = aws.call("ecr", "ListTagsForResource", {"resourceArn": description["repositoryArn"]})
        if tag_value(tags.get("tags") or [], TAG) != names.cluster:
            continue
        full_name = names.repository(name)

        def delete(full_name: str = full_name) -> None:
            request = {"repositoryName": full_name, "force": True}
            aws.call("ecr", "DeleteRepository", request, about=f"repository {full_name}")

        resources.append(Resource(full_name, full_name, delete))
    return resources


def _buckets(aws: Aws, names: Names) -> list[Resource]:
    if bucket_owner(aws, names) != names.cluster:
        return []

    def delete() -> None:
        _empty_bucket(aws, names.bucket)
        aws.call("s3", "DeleteBucket", {"Bucket": names.bucket}, about=f"bucket {names.bucket}")

    return [Resource(names.bucket, names.bucket, delete)]


def _empty_bucket(aws: Aws, bucket: str) -> None:
    """Delete all objects and uploads.

    Raises TemporaryError after `_EMPTYING_SECONDS`: there may be millions of objects, and the caller must send
    heartbeats. The next attempt lists only what is left.
    """
    deadline = aws.clock() + _EMPTYING_SECONDS
    about, target = f"bucket {bucket}", {"Bucket": bucket}
    for upload in aws.pages("s3", "ListMultipartUploads", "Uploads", target, about=about):
        request = {**target, "Key": upload["Key"], "UploadId": upload["UploadId"]}
        aws.call("s3", "AbortMultipartUpload", request, about=about)
        _check_deadline(aws, deadline, about)
    for key in ("Versions", "DeleteMarkers"):
        objects = ({"Key": version["Key"], "VersionId": version["VersionId"]}
                   for version in aws.pages("s3", "ListObjectVersions", key, target, about=about))  # fmt: skip
        while batch := list(islice(objects, _MAX_DELETED_OBJECTS)):
            request = {**target, "Delete": {"Objects": batch, "Quiet": True}}
            response = aws.call("s3", "DeleteObjects", request, about=about)
            for error in response.get("Errors") or ():
                reason = error.get("Message") or error.get("Code")
                raise Conflict(f"{about}: cannot delete {error.get('Key')}: {reason}")
            _check_deadline(aws, deadline, about)


def _check_deadline(aws: Aws, deadline: float, about: str) -> None:
    if aws.clock() > deadline:
        raise TemporaryError(f"{about}: not empty yet", "repeat the command: it continues where it stopped")


def functions(aws: Aws, names: Names) -> list[Resource]:
    """Return the function that removes an idle cluster, if it exists."""
    function = describe_function(aws, names)
    if function is None or not is_our_function(function, names):
        return []

    def delete() -> None:
        aws.call("lambda", "DeleteFunction", {"FunctionName": names.function}, about=f"function {names.function}")

    return [Resource(names.function, names.function, delete)]


def roles(aws: Aws, names: Names, parts: tuple[str, ...]) -> list[Resource]:
    """Return the existing roles of these parts."""
    resources = []
    for part in parts:
        name = names.role(part)
        if tag_value(role_tags(aws, name) or [], TAG) != names.cluster:
            continue

        def delete(name: str = name) -> None:
            delete_policies(aws, name)
            aws.call("iam", "DeleteRole", {"RoleName": name}, about=f"role {name}")

        resources.append(Resource(name, name, delete))
    return resources


def delete_policies(aws: Aws, name: str) -> None:
    """Remove all policies from a role: IAM does not delete a role that has any."""
    about, request = f"role {name}", {"RoleName": name}
    for policy in aws.pages("iam", "ListAttachedRolePolicies", "AttachedPolicies", request, about=about):
        aws.call("iam", "DetachRolePolicy", {**request, "PolicyArn": policy["PolicyArn"]}, about=about)
    for policy_name in aws.pages("iam", "ListRolePolicies", "PolicyNames", request, about=about):
        aws.call("iam", "DeleteRolePolicy", {**request, "PolicyName": policy_name}, about=about)
