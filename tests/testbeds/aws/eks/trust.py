"""Trust of services in roles, and the time since when it counts."""

from __future__ import annotations

import json

from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.world import World


def check(world: World, role: str, service: str, what: str) -> None:
    """Refused while the role does not exist, does not trust `service`, or was made a moment ago."""
    role_entry = world.role(role)
    cannot = (
        f"Role with arn: {role}, could not be assumed because it does not exist or the trusted entity is not correct"
    )
    if role_entry is None:
        raise Refused("InvalidParameterException", cannot)
    if service not in trusted(role_entry.assume_role_policy_document):
        text = (
            f"Following required service principals [{service}] were not found in the trust relationships of "
            f"{what} {role}"
        )
        raise Refused("InvalidParameterException", text)
    if world.unsure_roles.get(role, 0):
        world.unsure_roles[role] -= 1
        raise Refused("InvalidParameterException", cannot)


def trusted(document: str) -> set[str]:
    """The services that a trust policy names."""
    services_of_policy: set[str] = set()
    for statement in json.loads(document)["Statement"]:
        services = statement["Principal"].get("Service", [])
        services_of_policy |= {services} if isinstance(services, str) else set(services)
    return services_of_policy
