"""Requests for the control plane, add-ons, pod identities and access entries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from orchestune.clusters.aws.names import NAMESPACE, SERVER_ACCOUNT, TAG, Names
from orchestune.clusters.aws.requests.roles import AUTOSCALER, CNI, CONTROL, SERVER, STORAGE, server_needs_role
from orchestune.domain.clusters.cluster import AccessGrant, ClusterSpec, NetworkSpec

Document = dict[str, Any]
EVERYWHERE = "0.0.0.0/0"
FILES, BUCKET = "orchestune.dev/files", "bucket"
"""tag of clusters whose files are in their own bucket"""
AUTOSCALER_ACCOUNT = "cluster-autoscaler"
ADDONS_BEFORE_NODES = ("eks-pod-identity-agent", "vpc-cni", "kube-proxy")
"""add-ons that nodes need to become ready"""
ADDONS_AFTER_NODES = ("coredns", "aws-ebs-csi-driver")
"""add-ons that need a node to become active"""
_ADDON_ROLES = {"vpc-cni": ("aws-node", CNI), "aws-ebs-csi-driver": ("ebs-csi-controller-sa", STORAGE)}


def cluster(spec: ClusterSpec, names: Names, version: str, subnets: Sequence[str]) -> Document:
    """Return the CreateCluster request. Extended support is off: it costs six times as much."""
    return {
        "name": spec.name,
        "version": version,
        "roleArn": names.role_arn(CONTROL),
        "resourcesVpcConfig": {"subnetIds": list(subnets), **endpoint(spec.network)},
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": True},
        "bootstrapSelfManagedAddons": False,
        "upgradePolicy": {"supportType": "STANDARD"},
        "tags": names.tags() | ({FILES: BUCKET} if spec.bucket else {}),
    }


def endpoint(network: NetworkSpec) -> Document:
    """Return the endpoint access settings, shared by CreateCluster and UpdateClusterConfig."""
    public = network.endpoint == "public"
    settings: Document = {"endpointPublicAccess": public, "endpointPrivateAccess": True}
    return settings | ({"publicAccessCidrs": list(network.allow or (EVERYWHERE,))} if public else {})


def addon(names: Names, name: str, version: str) -> Document:
    """Return the CreateAddon request, with a role if the add-on needs one."""
    request: Document = {
        "clusterName": names.cluster,
        "addonName": name,
        "addonVersion": version,
        "resolveConflicts": "OVERWRITE",
        "tags": names.tags(name),
    }
    if name in _ADDON_ROLES:
        account, role = _ADDON_ROLES[name]
        request["podIdentityAssociations"] = [{"serviceAccount": account, "roleArn": names.role_arn(role)}]
    if name == "aws-ebs-csi-driver":  # tags its volumes, so that `destroy` finds them
        request["configurationValues"] = json.dumps({"controller": {"extraVolumeTags": {TAG: names.cluster}}})
    return request


def identities(spec: ClusterSpec) -> list[tuple[str, str, str]]:
    """Return namespace, service account and role of each pod with AWS permissions."""
    autoscaler = ("kube-system", AUTOSCALER_ACCOUNT, AUTOSCALER)
    return [autoscaler, (NAMESPACE, SERVER_ACCOUNT, SERVER)] if server_needs_role(spec) else [autoscaler]


def identity(names: Names, namespace: str, account: str, role: str) -> Document:
    """Return the CreatePodIdentityAssociation request."""
    return {
        "clusterName": names.cluster,
        "namespace": namespace,
        "serviceAccount": account,
        "roleArn": names.role_arn(role),
        "tags": names.tags(role),
    }


def group(role: str) -> str:
    """Return the Kubernetes group of users with that role."""
    return f"orchestune:{role}"


def access_entry(names: Names, grant: AccessGrant) -> Document:
    """Return the CreateAccessEntry request."""
    request: Document = {"clusterName": names.cluster, "principalArn": grant.who, "tags": names.tags("access")}
    return request if grant.role == "admin" else request | {"kubernetesGroups": [group(grant.role)]}


def admin_policy(names: Names, grant: AccessGrant) -> Document:
    """Return the AssociateAccessPolicy request: cluster administrator."""
    return {
        "clusterName": names.cluster,
        "principalArn": grant.who,
        "policyArn": f"arn:{names.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy",
        "accessScope": {"type": "cluster"},
    }
