"""EKS as a whole: which part answers which operation. moto's EKS knows no states, add-ons, entries or identities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore import xform_name

from tests.testbeds.aws.eks.addons import Addons
from tests.testbeds.aws.eks.catalog import Catalog
from tests.testbeds.aws.eks.clusters import Clusters
from tests.testbeds.aws.eks.entries import AccessEntries
from tests.testbeds.aws.eks.nodegroups import Nodegroups
from tests.testbeds.aws.eks.pods import PodIdentities
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import World


class Eks:
    """Answers every operation that it knows."""

    def __init__(self, world: World) -> None:
        self.clusters = Clusters(world)
        self.entries = AccessEntries(world, self.clusters)
        self.pods = PodIdentities(world, self.clusters)
        self.nodegroups = Nodegroups(world, self.clusters)
        self.addons = Addons(world, self.clusters, self.nodegroups, self.pods)
        self._parts = [self.clusters, self.nodegroups, self.addons, self.entries, self.pods, Catalog(), self]

    def handler(self, call: Call) -> Callable[[Call], dict[str, Any]]:
        """Return the function that answers this call."""
        name = xform_name(call.operation)
        return next((getattr(part, name) for part in self._parts if hasattr(part, name)), self._unknown)

    def _unknown(self, call: Call) -> dict[str, Any]:
        raise NotImplementedError(f"this fake's EKS does not know {call.operation}")

    def list_fargate_profiles(self, call: Call) -> dict[str, Any]:
        self.clusters.of(call)
        return {"fargateProfileNames": []}

    def tagged(self) -> dict[str, dict[str, str]]:
        """The tags of everything by ARN. Changing them changes the resources."""
        tags_of: dict[str, dict[str, str]] = {}
        for cluster in self.clusters.known.values():
            tags_of[cluster.document["arn"]] = cluster.document["tags"]
            for key, parts in (("nodegroupArn", cluster.nodegroups), ("addonArn", cluster.addons)):
                tags_of |= {part.document[key]: part.document["tags"] for part in parts.values()}
            tags_of |= {entry["accessEntryArn"]: entry["tags"] for entry in cluster.entries.values()}
            tags_of |= {one["associationArn"]: one["tags"] for one in cluster.associations.values()}
        return tags_of

    def _tags(self, call: Call) -> dict[str, str]:
        tags = self.tagged().get(call.parameters["resourceArn"])
        if tags is None:
            raise Refused("NotFoundException", "Resource was not found", 404)
        return tags

    def tag_resource(self, call: Call) -> dict[str, Any]:
        self._tags(call).update(call.parameters["tags"])
        return {}

    def untag_resource(self, call: Call) -> dict[str, Any]:
        for key in call.parameters["tagKeys"]:
            self._tags(call).pop(key, None)
        return {}

    def list_tags_for_resource(self, call: Call) -> dict[str, Any]:
        return {"tags": self._tags(call)}
