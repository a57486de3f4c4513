"""Cloud providers by name; each is imported when it is asked for."""

from __future__ import annotations

from orchestune.errors import UsageError
from orchestune.ports.provisioner import Provisioner

NAMES = ("aws",)


def open_provisioner(provider: str, region: str = "", profile: str = "") -> Provisioner:
    """What makes clusters there. Nothing is asked yet.

    UsageError where there is no such provider, where its library is not installed, or where no region is named.
    """
    if provider == "aws":
        from orchestune.clusters.aws.client import Aws  # boto3 is optional, and slow to import
        from orchestune.clusters.aws.provisioner import AwsProvisioner

        return AwsProvisioner(Aws(region, profile), profile)
    raise UsageError(f"'{provider}' is no provider of clusters", f"there is {', '.join(NAMES)}")
