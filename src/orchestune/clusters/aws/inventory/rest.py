"""Registry, bucket, function and roles; the role of the control plane last, since it says that the cluster was ours."""

from __future__ import annotations

from orchestune.clusters.aws.client import Aws, named
from orchestune.clusters.aws.function import described, ours
from orchestune.clusters.aws.inventory.things import Shelf, Thing
from orchestune.clusters.aws.names import REPOSITORIES, TAG, Names
from orchestune.clusters.aws.requests.roles import AUTOSCALER, CNI, CONTROL, NODE, RETIREMENT, SERVER, STORAGE
from orchestune.clusters.aws.steps.storage import bucket_owner, repository
from orchestune.errors import Conflict, NotFound


def shelves(aws: Aws, names: Names, *, keep_registry: bool, within: bool = False) -> list[Shelf]:
    """In the order of removal; `within`: without the function that does it, and the role by which that does it."""
    others: tuple[str, ...] = (SERVER, AUTOSCALER, STORAGE, CNI, NODE)
    function = [] if within else [Shelf("Lambda", "function", lambda: functions(aws, names))]
    others = others if within else (RETIREMENT, *others)
    kept = [] if keep_registry else [Shelf("ECR", "repository", lambda: _repositories(aws, names))]
    return [
        *kept,
        Shelf("S3", "bucket", lambda: _buckets(aws, names)),
        *function,
        Shelf("IAM", "role", lambda: role_things(aws, names, others)),
        Shelf("IAM", "role", lambda: role_things(aws, names, (CONTROL,))),
    ]


def _repositories(aws: Aws, names: Names) -> list[Thing]:
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

        found.append(Thing(full, full, remove))
    return found


def _buckets(aws: Aws, names: Names) -> list[Thing]:
    if bucket_owner(aws, names) != names.cluster:
        return []

    def remove() -> None:
        about = f"bucket {names.bucket}"
        asked = {"Bucket": names.bucket}
        for item in aws.pages("s3", "ListMultipartUploads", "Uploads", asked, about=about):
            request = {**asked, "Key": item["Key"], "UploadId": item["UploadId"]}
            aws.call("s3", "AbortMultipartUpload", request, about=about)
        batch: list[dict[str, str]] = []
        for key in ("Versions", "DeleteMarkers"):
            for item in aws.pages("s3", "ListObjectVersions", key, asked, about=about):
                batch.append({"Key": item["Key"], "VersionId": item["VersionId"]})
        for start in range(0, len(batch), 1000):
            objects = {"Objects": batch[start : start + 1000], "Quiet": True}
            answer = aws.call("s3", "DeleteObjects", {**asked, "Delete": objects}, about=about)
            for item in answer.get("Errors") or ():
                raise Conflict(f"{about}: {item.get('Key')} stays: {item.get('Message') or item.get('Code')}")
        aws.call("s3", "DeleteBucket", asked, about=about)

    return [Thing(names.bucket, names.bucket, remove)]


def functions(aws: Aws, names: Names) -> list[Thing]:
    """The one that removes an idle cluster."""
    found = described(aws, names)
    if found is None or not ours(found, names):
        return []

    def remove() -> None:
        aws.call("lambda", "DeleteFunction", {"FunctionName": names.function}, about=f"function {names.function}")

    return [Thing(names.function, names.function, remove)]


def role_things(aws: Aws, names: Names, parts: tuple[str, ...]) -> list[Thing]:
    """The roles of these parts that are there."""
    found = []
    for part in parts:
        name = names.role(part)
        try:
            role = aws.call("iam", "GetRole", {"RoleName": name}, about=f"role {name}")["Role"]
        except NotFound:
            continue
        if named(role.get("Tags") or [], TAG) != names.cluster:
            continue

        def remove(name: str = name) -> None:
            strip(aws, name)
            aws.call("iam", "DeleteRole", {"RoleName": name}, about=f"role {name}")

        found.append(Thing(name, name, remove))
    return found


def strip(aws: Aws, name: str) -> None:
    """Take all rights from a role: IAM removes none that has any."""
    about, asked = f"role {name}", {"RoleName": name}
    for item in aws.pages("iam", "ListAttachedRolePolicies", "AttachedPolicies", asked, about=about):
        aws.call("iam", "DetachRolePolicy", {**asked, "PolicyArn": item["PolicyArn"]}, about=about)
    for policy in aws.pages("iam", "ListRolePolicies", "PolicyNames", asked, about=about):
        aws.call("iam", "DeleteRolePolicy", {**asked, "PolicyName": policy}, about=about)
