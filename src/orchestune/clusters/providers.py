"""Registry of cloud providers; each is imported only when requested."""

from __future__ import annotations

from orchestune.errors import UsageError
from orchestune.ports.provisioner import Provisioner

NAMES = ("aws",)


def open_provisioner(provider: str, region: str = "", profile: str = "") -> Provisioner:
    """Return the provider's `Provisioner`, without making any request.

    Raises UsageError if the provider is unknown, its library is not installed, or no region is set.
    """
    if provider == "aws":
        from orchestune.clusters.aws.client import Aws  # boto3 is optional, and slow to import
        from orchestune.clusters.aws.provisioner import AwsProvisioner

        return AwsProvisioner(Aws(region, profile), profile)
    raise UsageError(f"unknown cloud provider: '{provider}'", f"choose from {', '.join(NAMES)}")
