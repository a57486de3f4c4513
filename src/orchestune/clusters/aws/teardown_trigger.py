"""Triggers the removal of the server's own cluster by invoking the Lambda function that is allowed to do it."""

from __future__ import annotations

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.lambda_handler import call
from orchestune.clusters.aws.names import Names


class LambdaTeardown:
    """Implements `ClusterTeardown` with the Lambda function of one cluster."""

    def __init__(self, cluster: str, region: str) -> None:
        self._cluster, self._region = cluster, region

    def begin(self) -> None:
        call(Aws(self._region), Names(self._cluster, self._region, ""))
