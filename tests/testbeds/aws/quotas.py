"""Service Quotas: how many vCPUs, addresses and clusters the account may have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.testbeds.aws.identities import ACCOUNT
from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call
from tests.testbeds.aws.world import World

_NAMES = {
    "L-1216C47A": ("ec2", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 5.0),
    "L-DB2E81BA": ("ec2", "Running On-Demand G and VT instances", 0.0),
    "L-417A185B": ("ec2", "Running On-Demand P instances", 0.0),
    "L-34B43A08": ("ec2", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 5.0),
    "L-3819A6DF": ("ec2", "All G and VT Spot Instance Requests", 0.0),
    "L-7212CCBC": ("ec2", "All P Spot Instance Requests", 0.0),
    "L-0263D0A3": ("ec2", "EC2-VPC Elastic IPs", 5.0),
    "L-F678F1CE": ("vpc", "VPCs per Region", 5.0),
    "L-FE5A380F": ("vpc", "NAT gateways per Availability Zone", 5.0),
    "L-1194D53C": ("eks", "Clusters", 100.0),
}
"""service, name and default by code"""
_FREE = {"L-34B43A08": 640.0, "L-3819A6DF": 256.0, "L-7212CCBC": 256.0}
"""what the account has been given beyond the defaults"""


class Quotas:
    """The quotas of one account."""

    def __init__(self, world: World) -> None:
        self._world = world

    def handler(self, call: Call) -> Callable[[Call], dict[str, Any]] | None:
        return {
            "GetServiceQuota": self._one, "GetAWSDefaultServiceQuota": self._one,
            "ListServiceQuotas": self._all, "ListAWSDefaultServiceQuotas": self._all,
        }.get(call.operation)  # fmt: skip

    def _document(self, call: Call, code: str) -> dict[str, Any]:
        service, name, default = _NAMES[code]
        value = _FREE.get(code, default)
        if "Default" not in call.operation:
            value = self._world.behaviour.quotas.get(code, value)
        else:
            value = default
        return {
            "ServiceCode": service, "ServiceName": service.upper(), "QuotaCode": code, "QuotaName": name,
            "QuotaArn": f"arn:aws:servicequotas:{call.region}:{ACCOUNT}:{service}/{code}", "Value": value,
            "Unit": "None", "Adjustable": True, "GlobalQuota": False,
        }  # fmt: skip

    def _one(self, call: Call) -> dict[str, Any]:
        code, service = call.parameters["QuotaCode"], call.parameters["ServiceCode"]
        if code not in _NAMES or _NAMES[code][0] != service:
            raise Refused("NoSuchResourceException", "The request failed because the specified quota does not exist.")
        return {"Quota": self._document(call, code)}

    def _all(self, call: Call) -> dict[str, Any]:
        service = call.parameters["ServiceCode"]
        return {"Quotas": [self._document(call, code) for code, quota in _NAMES.items() if quota[0] == service]}
