"""Steps for image repositories and the bucket."""

from __future__ import annotations

import json
from functools import partial

from orchestune.clusters.aws.client import Aws, named
from orchestune.clusters.aws.creation_steps import Made, Repair, Step
from orchestune.clusters.aws.inputs import ClusterSite
from orchestune.clusters.aws.names import REPOSITORIES, TAG, Names
from orchestune.clusters.aws.requests import storage
from orchestune.domain.clusters.cluster import Planned
from orchestune.errors import Conflict


def steps(site: ClusterSite) -> list[Step]:
    """Return steps for the repositories, and for the bucket if the file asks for one."""
    made = [_repository(site, name) for name in REPOSITORIES]
    return [*made, _bucket(site)] if site.spec.bucket else made


def _repository(site: ClusterSite, name: str) -> Step:
    planned = Planned("repository", site.names.repository(name))

    def find(made: Made) -> str | None:
        shown = repository(site.aws, site.names, name)
        if shown is None:
            return None
        tags = site.aws.call(
            "ecr", "ListTagsForResource", {"resourceArn": shown["repositoryArn"]}, about=planned.called
        )
        if named(tags.get("tags") or [], TAG) != site.names.cluster:
            raise Conflict(f"there is a {planned.called} already, which is not ours", "choose another cluster_name")
        return shown["repositoryUri"]

    def make(made: Made) -> str:
        answer = site.aws.call("ecr", "CreateRepository", storage.repository(site.names, name), about=planned.called)
        return str(answer["repository"]["repositoryUri"])

    def lacks(made: Made) -> list[Repair]:
        request = storage.lifecycle(site.names, name)
        asked = {"repositoryName": request["repositoryName"]}
        found = site.aws.find("ecr", "GetLifecyclePolicy", asked, about=planned.called) or {}
        write = partial(site.aws.settled, "ecr", "PutLifecyclePolicy", request, about=planned.called)
        same = json.loads(found.get("lifecyclePolicyText", "{}")) == json.loads(request["lifecyclePolicyText"])
        return [] if same else [Repair("the rule by which old images go", write)]

    return Step(f"repository-{name}", planned, find, make, lacks=lacks)


def repository(aws: Aws, names: Names, name: str) -> dict[str, str] | None:
    """Return the repository, regardless of who created it; None if absent."""
    request = {"repositoryNames": [names.repository(name)]}
    shown = aws.find("ecr", "DescribeRepositories", request, about=f"repository {names.repository(name)}")
    return None if shown is None else dict(shown["repositories"][0])


def _bucket(site: ClusterSite) -> Step:
    planned = Planned("bucket", site.names.bucket, "files of the server; closed to the public")

    def find(made: Made) -> str | None:
        owner = bucket_owner(site.aws, site.names)
        if owner is None:
            return None
        if owner != site.names.cluster:
            raise Conflict(f"there is a {planned.called} already, which is not ours", "choose another cluster_name")
        return site.names.bucket

    def make(made: Made) -> str:
        site.aws.call("s3", "CreateBucket", storage.bucket(site.names), about=planned.called)
        site.aws.settled("s3", "PutBucketTagging", storage.bucket_tags(site.names), about=planned.called)
        return site.names.bucket

    def lacks(made: Made) -> list[Repair]:
        request, key = storage.closed(site.names), "PublicAccessBlockConfiguration"
        found = site.aws.find("s3", "GetPublicAccessBlock", {"Bucket": site.names.bucket}, about=planned.called)
        close = partial(site.aws.settled, "s3", "PutPublicAccessBlock", request, about=planned.called)
        return [] if (found or {}).get(key) == request[key] else [Repair("that nobody makes it public", close)]

    return Step("bucket", planned, find, make, lacks=lacks)


def bucket_owner(aws: Aws, names: Names) -> str | None:
    """Return the cluster in the bucket's tag; empty if tagged otherwise; None if the bucket does not exist.

    An untagged bucket counts as Orchestune's: its name contains account and cluster, so its creation was interrupted.
    """
    asked, about = {"Bucket": names.bucket}, f"bucket {names.bucket}"
    if aws.find("s3", "HeadBucket", asked, about=about) is None:
        return None
    tags = aws.find("s3", "GetBucketTagging", asked, about=about)
    return names.cluster if tags is None else named(tags["TagSet"], TAG)
