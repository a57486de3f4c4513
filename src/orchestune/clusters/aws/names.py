"""What everything of a cluster is called and tagged: by these, and nothing else, it is found again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

TAG = "orchestune.dev/cluster"
"""the tag whose value is the cluster's name, on everything that we make"""
PART = "orchestune.dev/part"
"""which of several of one kind it is"""
PATH = "/orchestune/"
"""of roles"""
NAMESPACE = "orchestune"
SERVER_ACCOUNT = "orchestune-server"
REPOSITORIES = ("orchestune", "orchestune/server", "orchestune/test")
"""what is pushed under the path of a cluster: images of experiments, the server, what `cluster test` tries"""
_HASH = 6


def short(text: str, most: int) -> str:
    """The same, or where it is too long its beginning and a mark of all of it."""
    if len(text) <= most:
        return text
    mark = hashlib.sha256(text.encode()).hexdigest()[:_HASH]
    return f"{text[: most - _HASH - 1]}-{mark}"


@dataclass(frozen=True)
class Names:
    """Of one cluster in one account and region."""

    cluster: str
    region: str
    account: str
    partition: str = "aws"
    more: Mapping[str, str] = field(default_factory=dict)
    """tags that the user wants on everything"""

    def tags(self, part: str = "") -> dict[str, str]:
        """The tags of a resource."""
        own = {"Name": f"{self.cluster} {part}".strip(), TAG: self.cluster}
        return {**self.more, **own, **({PART: part} if part else {})}

    def listed(self, part: str = "") -> list[dict[str, str]]:
        """The same as the older services have them."""
        return [{"Key": key, "Value": value} for key, value in self.tags(part).items()]

    def role(self, part: str) -> str:
        """The name of a role; IAM knows no regions, so that of the cluster is in it."""
        return short(f"orchestune-{self.cluster}-{self.region}-{part}", 64)

    def role_arn(self, part: str) -> str:
        """Its ARN."""
        return f"arn:{self.partition}:iam::{self.account}:role{PATH}{self.role(part)}"

    @property
    def machines(self) -> str:
        """The service that starts machines; in China it is the one with a name of its own."""
        return "ec2.amazonaws.com.cn" if self.partition == "aws-cn" else "ec2.amazonaws.com"

    def managed(self, policy: str) -> str:
        """The ARN of a policy of AWS."""
        return f"arn:{self.partition}:iam::aws:policy/{policy}"

    def repository(self, name: str) -> str:
        """The repository of images called so."""
        return f"{self.cluster}/{name}"

    @property
    def bucket(self) -> str:
        """Buckets share one space of names with all the world."""
        return short(f"orchestune-{self.cluster}-{self.region}-{self.account}", 63)

    @property
    def function(self) -> str:
        """What removes the cluster when it is idle."""
        return short(f"orchestune-{self.cluster}-retirement", 64)

    @property
    def function_arn(self) -> str:
        """Its ARN."""
        return f"arn:{self.partition}:lambda:{self.region}:{self.account}:function:{self.function}"

    def template(self, pool: str) -> str:
        """The launch template of a pool. Of `a` and `b-c` it is another one than of `a-b` and `c`."""
        return f"orchestune-{self.cluster}.{pool}"
