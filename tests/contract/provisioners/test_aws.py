"""AWS fulfils the contract of provisioners, at the fake."""

from __future__ import annotations

from typing import Any

import pytest

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.provisioner import AwsProvisioner
from orchestune.domain.cluster import ClusterSpec, Pool
from orchestune.ports.provisioner import Provisioner
from orchestune.testing.provisioner_contract import ProvisionerContract
from tests.testbeds.aws.fake import REGION, Fake

CPU = Pool("cpu", ("c4.xlarge",), 1, 4, key="cpu")
GPU = Pool("gpu", ("p3.8xlarge",), 0, 4, gpu=True, key="gpu")


class TestAws(ProvisionerContract):
    @pytest.fixture(autouse=True)
    def _at(self, aws: Fake) -> None:
        self.aws, self.now = aws, 0.0

    def make(self) -> Provisioner:
        return AwsProvisioner(Aws(REGION, clock=lambda: self.now, sleep=self._sleep))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def spec(self) -> ClusterSpec:
        return ClusterSpec("aws", "orchestrate-cluster", (CPU, GPU), region=REGION, bucket=True)

    def everything(self) -> Any:
        return self.aws.inventory()
