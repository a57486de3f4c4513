"""The right of people to forward ports: to the pods of the server, and to no others of the namespace.

RBAC can limit this right to names, not to labels, and the pods of a Deployment have new names each time. So the server
keeps their names in the Roles of people up to date, and `cluster connect` applies the Roles with those of the present
pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from orchestune.domain.cluster import SERVER_ROLES

Document = dict[str, Any]

SERVER_ACCOUNT = "orchestune-server"
"""the ServiceAccount of the server's pods; no other pod of ours runs as this account"""
ACCESS_ROLES = tuple(f"orchestune-{role}" for role in SERVER_ROLES)
"""the Roles of people"""
FORWARDING = "pods/portforward"
_ENDED = ("Succeeded", "Failed")


def server_pods(pods: Iterable[Document]) -> list[str]:
    """Return the names of those pods that are the server's and have not ended, sorted; `pods` have its labels."""
    return sorted(
        pod["metadata"]["name"]
        for pod in pods
        if pod["spec"].get("serviceAccountName") == SERVER_ACCOUNT and pod["status"].get("phase") not in _ENDED
    )


def forwarding_rules(pods: Sequence[str]) -> list[Document]:
    """Return the rule for these pods; none without pods, since RBAC takes a rule without names for one of all pods."""
    rule = {"apiGroups": [""], "resources": [FORWARDING], "verbs": ["create", "get"], "resourceNames": list(pods)}
    return [rule] if pods else []


def limit_forwarding(rules: Iterable[Document], pods: Sequence[str]) -> list[Document]:
    """Return the rules of a Role with the right to forward ports to these pods alone, whatever it was before."""
    others = [{**rule, "resources": [each for each in rule["resources"] if each != FORWARDING]} for rule in rules]
    return [*(rule for rule in others if rule["resources"]), *forwarding_rules(pods)]
