"""The promises of everything that makes clusters at a provider, as one class of tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestune.domain.clusters.cluster import ClusterSpec, CompletedStep, ProvisioningEvent
from orchestune.ports.provisioner import Provisioner


class ProvisionerContract:
    """Give `make`, `spec` and `everything`; the account is empty before each test, and time passes by waiting."""

    def make(self) -> Provisioner:
        """One that remembers nothing, as a new process has it."""
        raise NotImplementedError

    def spec(self) -> ClusterSpec:
        """A cluster with two pools at least, of which the last one starts no machine."""
        raise NotImplementedError

    def everything(self) -> Any:
        """All that the account has, to be compared."""
        raise NotImplementedError

    def test_looking_changes_nothing(self) -> None:
        before, spec = self.everything(), self.spec()
        provisioner = self.make()
        assert provisioner.payer().account
        assert provisioner.check(spec)[0] == []
        assert provisioner.plan(spec)
        assert provisioner.status(spec.name) is None
        assert provisioner.reach(spec.name) is None
        assert list(provisioner.clusters()) == []
        assert provisioner.prove(spec.name).left == ()
        assert self.everything() == before

    def test_what_is_planned_is_what_is_made_in_that_order_and_a_repeat_finds_it(self) -> None:
        spec = self.spec()
        planned = [item.title for item in self.make().plan(spec)]
        assert self.applied(spec, CompletedStep.MADE) == planned
        inventory = self.everything()
        assert self.applied(spec, CompletedStep.FOUND) == planned
        assert self.everything() == inventory

    def test_a_cluster_that_was_made_is_shown_reached_and_as_its_file_says(self) -> None:
        spec = self.spec()
        self.make().apply(spec, _silent)
        provisioner = self.make()
        standing = provisioner.status(spec.name)
        assert standing is not None
        assert {pool.name: (pool.least, pool.most) for pool in standing.pools} == {
            pool.name: (pool.min_nodes, pool.max_nodes) for pool in spec.pools
        }
        assert [item.name for item in provisioner.clusters()] == [spec.name]
        reached = provisioner.reach(spec.name)
        assert reached is not None
        assert "://" in reached.server
        assert provisioner.changes(spec) == []

    def test_an_update_brings_sizes_and_pools_to_the_file_and_drains_what_goes(self) -> None:
        spec = self.spec()
        self.make().apply(spec, _silent)
        first, *_, last = spec.pools
        fresh = replace(last, name="fresh", key="pools.fresh")
        changed_spec = replace(spec, pools=(replace(first, max_nodes=first.max_nodes + 1), fresh))
        removed_pools = {pool.name for pool in spec.pools} - {first.name}
        drained: list[str] = []
        assert self.make().changes(changed_spec)
        self.make().update(changed_spec, _silent, lambda pool, beat: drained.append(pool))
        assert set(drained) == removed_pools
        standing = self.make().status(spec.name)
        assert standing is not None
        sizes = {pool.name: pool.most for pool in standing.pools}
        assert sizes == {first.name: first.max_nodes + 1, "fresh": fresh.max_nodes}
        assert self.make().changes(changed_spec) == []

    def test_destroying_leaves_nothing_and_may_be_repeated(self) -> None:
        before, spec = self.everything(), self.spec()
        self.make().apply(spec, _silent)
        assert self.make().prove(spec.name).left
        for _ in range(2):
            self.make().destroy(spec.name, _silent)
            proof = self.make().prove(spec.name)
            assert proof.left == ()
            assert proof.looked
            assert self.make().status(spec.name) is None
        assert self.everything() == before

    def applied(self, spec: ClusterSpec, what: CompletedStep) -> list[str]:
        """The reported steps, in order."""
        events: list[ProvisioningEvent] = []
        self.make().apply(spec, events.append)
        ended = [event for event in events if event.what is not CompletedStep.WAITING]
        assert {event.what for event in ended} == {what}
        return [event.resource.title for event in ended]


def _silent(event: ProvisioningEvent) -> None:
    return
