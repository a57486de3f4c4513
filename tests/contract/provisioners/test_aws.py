"""AWS fulfils the contract of provisioners, at the fake."""

from __future__ import annotations

from typing import Any

import pytest

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.provisioner import AwsProvisioner
from orchestune.domain.clusters.cluster import ClusterSpec, CompletedStep, Pool, ProvisioningEvent
from orchestune.errors import TemporaryError
from orchestune.ports.provisioner import Provisioner
from tests.contract.provisioner_contract import ProvisionerContract
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

    def test_a_cluster_that_is_being_made_is_not_reached_yet(self) -> None:
        self.aws.behaviour.polls = 6
        spec, outcomes = self.spec(), set()

        def look(event: ProvisioningEvent) -> None:
            if event.what is CompletedStep.WAITING:
                try:
                    outcomes.add("reached" if self.make().reach(spec.name) else "none")
                except TemporaryError as exc:
                    outcomes.add(exc.message)

        self.make().apply(spec, look)
        assert outcomes == {"none", f"the cluster '{spec.name}' is not up: CREATING", "reached"}
