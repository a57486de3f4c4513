"""Names and tags of all resources of a cluster; they are found only by these."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

TAG = "orchestune.dev/cluster"
"""tag on every created resource; its value is the cluster's name"""
PART = "orchestune.dev/part"
"""tag that distinguishes several resources of one kind"""
PATH = "/orchestune/"
"""path of IAM roles"""
NAMESPACE = "orchestune"
SERVER_ACCOUNT = "orchestune-server"
REPOSITORIES = ("orchestune", "orchestune/server", "orchestune/test")
"""image repositories of a cluster: experiments, the server, and the test image of `cluster test`"""
_HASH_LENGTH = 6


def shorten(text: str, max_length: int) -> str:
    """Return the text, truncated with a hash suffix if longer than `max_length`."""
    if len(text) <= max_length:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{text[: max_length - _HASH_LENGTH - 1]}-{digest}"


@dataclass(frozen=True)
class Names:
    """Names for one cluster in one account and region."""

    cluster: str
    region: str
    account: str
    partition: str = "aws"
    extra_tags: Mapping[str, str] = field(default_factory=dict)
    """additional tags from the user for all resources"""

    def tags(self, part: str = "") -> dict[str, str]:
        """Return the tags of a resource."""
        own_tags = {"Name": f"{self.cluster} {part}".strip(), TAG: self.cluster}
        return {**self.extra_tags, **own_tags, **({PART: part} if part else {})}

    def tag_list(self, part: str = "") -> list[dict[str, str]]:
        """Return the tags as a list of Key and Value, as older services expect."""
        return [{"Key": key, "Value": value} for key, value in self.tags(part).items()]

    def role(self, part: str) -> str:
        """Return the name of a role; it contains the region, since IAM is global."""
        return shorten(f"orchestune-{self.cluster}-{self.region}-{part}", 64)

    def role_arn(self, part: str) -> str:
        """Return the ARN of a role."""
        return f"arn:{self.partition}:iam::{self.account}:role{PATH}{self.role(part)}"

    @property
    def ec2_principal(self) -> str:
        """Service principal of EC2; China has its own."""
        return "ec2.amazonaws.com.cn" if self.partition == "aws-cn" else "ec2.amazonaws.com"

    def managed_policy(self, policy: str) -> str:
        """Return the ARN of an AWS managed policy."""
        return f"arn:{self.partition}:iam::aws:policy/{policy}"

    def repository(self, name: str) -> str:
        """Return the full name of an image repository."""
        return f"{self.cluster}/{name}"

    @property
    def bucket(self) -> str:
        """Name of the bucket; bucket names are globally unique, so it contains region and account."""
        return shorten(f"orchestune-{self.cluster}-{self.region}-{self.account}", 63)

    @property
    def function(self) -> str:
        """Name of the function that removes the idle cluster."""
        return shorten(f"orchestune-{self.cluster}-retirement", 64)

    @property
    def function_arn(self) -> str:
        """ARN of that function."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{self.function}"

    def launch_template(self, pool: str) -> str:
        """Return the name of a pool's launch template. The dot keeps `a` + `b-c` and `a-b` + `c` distinct."""
        return f"orchestune-{self.cluster}.{pool}"
