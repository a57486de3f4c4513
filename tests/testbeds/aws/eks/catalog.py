"""Offers of EKS: versions of Kubernetes, add-ons with their versions, access policies."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from tests.testbeds.aws.refusals import Refused
from tests.testbeds.aws.wire import Call

VERSIONS = {"1.36": "STANDARD_SUPPORT", "1.35": "STANDARD_SUPPORT", "1.34": "STANDARD_SUPPORT",
            "1.32": "EXTENDED_SUPPORT"}  # fmt: skip
DEFAULT_VERSION = "1.35"
ADDONS = {
    "vpc-cni": ("networking", "v1.21.1", True), "kube-proxy": ("networking", "v1.36.0", False),
    "coredns": ("networking", "v1.13.2", False), "aws-ebs-csi-driver": ("storage", "v1.55.0", True),
    "eks-pod-identity-agent": ("security", "v1.3.10", False), "metrics-server": ("observability", "v0.8.0", False),
    "snapshot-controller": ("storage", "v8.3.0", False), "cert-manager": ("security", "v1.19.1", False),
}  # fmt: skip
"""kind, newest version, and whether it needs a role, by name"""
ACCOUNTS = {"vpc-cni": "aws-node", "aws-ebs-csi-driver": "ebs-csi-controller-sa"}
"""the service account of each add-on that needs a role"""
MANAGED = {"vpc-cni": "AmazonEKS_CNI_Policy", "aws-ebs-csi-driver": "service-role/AmazonEBSCSIDriverPolicy"}
SCHEMA = {
    "$schema": "http://json-schema.org/draft-06/schema#", "type": "object", "additionalProperties": False,
    "properties": {key: {} for key in ("affinity", "controller", "defaultStorageClass", "env", "node", "nodeSelector",
                                       "replicaCount", "resources", "tolerations", "enableNetworkPolicy",
                                       "autoScaling", "podDisruptionBudget", "podLabels", "sidecars")},
}  # fmt: skip
POLICIES = ("AmazonEKSAdminPolicy", "AmazonEKSAdminViewPolicy", "AmazonEKSClusterAdminPolicy", "AmazonEKSEditPolicy",
            "AmazonEKSViewPolicy")  # fmt: skip


def platform(version: str) -> str:
    return "eks.3" if version in VERSIONS else "eks.1"


def builds(name: str) -> list[str]:
    """The versions of an add-on, newest first."""
    newest = ADDONS[name][1]
    return [f"{newest}-eksbuild.2", f"{newest}-eksbuild.1"]


class Catalog:
    """Answers that depend on nothing."""

    def describe_cluster_versions(self, call: Call) -> dict[str, Any]:
        versions = call.parameters.get("clusterVersions")
        descriptions = [
            {
                "clusterVersion": version, "clusterType": "eks", "defaultPlatformVersion": platform(version),
                "defaultVersion": version == DEFAULT_VERSION, "releaseDate": datetime(2026, 1, 1, tzinfo=UTC),
                "endOfStandardSupportDate": datetime(2027, 3, 1, tzinfo=UTC),
                "endOfExtendedSupportDate": datetime(2028, 3, 1, tzinfo=UTC),
                "status": status.lower().replace("_", "-"), "versionStatus": status,
                "kubernetesPatchVersion": f"{version}.2",
            }
            for version, status in VERSIONS.items()
            if (not versions or version in versions)
            and (not call.parameters.get("defaultOnly") or version == DEFAULT_VERSION)
            and call.parameters.get("versionStatus") in (None, status)
            and call.parameters.get("status") in (None, status.lower().replace("_", "-"))
        ]  # fmt: skip
        return {"clusterVersions": descriptions}

    def describe_addon_versions(self, call: Call) -> dict[str, Any]:
        version, name = call.parameters.get("kubernetesVersion"), call.parameters.get("addonName")
        if version is not None and version not in VERSIONS:
            raise Refused("InvalidParameterException", f"Kubernetes version {version} is not supported")
        return {
            "addons": [
                {"addonName": addon, "type": ADDONS[addon][0], "publisher": "eks", "owner": "aws",
                 "addonVersions": [self._version(addon, build, version) for build in builds(addon)]}
                for addon in ADDONS
                if name in (None, addon)
            ]
        }  # fmt: skip

    def _version(self, addon: str, build: str, version: str | None) -> dict[str, Any]:
        fits = [version] if version else list(VERSIONS)
        return {
            "addonVersion": build, "architecture": ["amd64", "arm64"], "computeTypes": ["ec2", "hybrid"],
            "compatibilities": [{"clusterVersion": one, "platformVersions": ["*"],
                                 "defaultVersion": build.endswith(".1")} for one in fits],
            "requiresConfiguration": False, "requiresIamPermissions": ADDONS[addon][2],
        }  # fmt: skip

    def describe_addon_configuration(self, call: Call) -> dict[str, Any]:
        name, version = call.parameters["addonName"], call.parameters["addonVersion"]
        if name not in ADDONS or version not in builds(name):
            text = f"Addon version specified is not supported, AddonName: {name}, Version: {version}"
            raise Refused("ResourceNotFoundException", text, 404)
        identities = []
        if name in ACCOUNTS:
            policy = f"arn:aws:iam::aws:policy/{MANAGED[name]}"
            identities = [{"serviceAccount": ACCOUNTS[name], "recommendedManagedPolicies": [policy]}]
        return {"addonName": name, "addonVersion": version, "configurationSchema": json.dumps(SCHEMA),
                "podIdentityConfiguration": identities}  # fmt: skip

    def list_access_policies(self, call: Call) -> dict[str, Any]:
        policies = [{"name": name, "arn": f"arn:aws:eks::aws:cluster-access-policy/{name}"} for name in POLICIES]
        return {"accessPolicies": policies}
