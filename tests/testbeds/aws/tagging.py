"""The tagging API: moto's resources and those of EKS; IAM roles and Auto Scaling groups are left out, as by AWS."""

from __future__ import annotations

from typing import Any

from tests.testbeds.aws.eks.service import Eks
from tests.testbeds.aws.wire import Call

_OMITTED = (":iam:", ":autoscaling:")


class Tagging:
    """Adds what moto does not know of."""

    def __init__(self, eks: Eks) -> None:
        self._eks = eks

    def before(self, call: Call) -> None:
        return None

    def after(self, call: Call, result: dict[str, Any]) -> dict[str, Any] | None:
        if call.operation != "GetResources":
            return None
        mappings = [one for one in result.get("ResourceTagMappingList", ())
                 if not any(part in one["ResourceARN"] for part in _OMITTED)]  # fmt: skip
        kinds = call.parameters.get("ResourceTypeFilters")
        for arn, tags in self._eks.tagged().items():
            fits = kinds is None or any(kind.partition(":")[0] == "eks" for kind in kinds)
            if fits and tags and all(_has(tags, one) for one in call.parameters.get("TagFilters", ())):
                pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
                mappings.append({"ResourceARN": arn, "Tags": pairs})
        return {**result, "ResourceTagMappingList": mappings}


def _has(tags: dict[str, str], tag_filter: dict[str, Any]) -> bool:
    value = tags.get(tag_filter["Key"])
    return value is not None and (not tag_filter.get("Values") or value in tag_filter["Values"])
