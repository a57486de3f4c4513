"""Users' permission to forward ports: only to the pods of the server, not to others of the namespace.

RBAC can limit this permission to names, not to labels, and the pods of a Deployment get new names. The server therefore
keeps the names in the users' Roles up to date, and `cluster connect` applies the Roles with the names of the current
pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from orchestune.domain.clusters.cluster import SERVER_ROLES

Document = dict[str, Any]

SERVER_ACCOUNT = "orchestune-server"
"""ServiceAccount of the server's pods; no other pod of ours uses it"""
ACCESS_ROLES = tuple(f"orchestune-{role}" for role in SERVER_ROLES)
"""Roles of users"""
FORWARDING = "pods/portforward"
_ENDED = ("Succeeded", "Failed")


def server_pods(pods: Iterable[Document]) -> list[str]:
    """Return the sorted names of the server's pods that have not terminated; `pods` have its labels."""
    return sorted(
        pod["metadata"]["name"]
        for pod in pods
        if pod["spec"].get("serviceAccountName") == SERVER_ACCOUNT and pod["status"].get("phase") not in _ENDED
    )


def forwarding_rules(pods: Sequence[str]) -> list[Document]:
    """Return the rule for these pods; none without pods, since in RBAC a rule without names applies to all pods."""
    rule = {"apiGroups": [""], "resources": [FORWARDING], "verbs": ["create", "get"], "resourceNames": list(pods)}
    return [rule] if pods else []


def limit_forwarding(rules: Iterable[Document], pods: Sequence[str]) -> list[Document]:
    """Return a Role's rules with port forwarding limited to these pods."""
    others = [{**rule, "resources": [each for each in rule["resources"] if each != FORWARDING]} for rule in rules]
    return [*(rule for rule in others if rule["resources"]), *forwarding_rules(pods)]
