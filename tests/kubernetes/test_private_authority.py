"""A registry with an unknown certificate: errors name each party that has to trust it, and then everything works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kubernetes.lab import Lab
from tests.kubernetes.test_promises import client, ended, launch
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.kubernetes.pki import Authority
from tests.testbeds.registry import Registry

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
SMALL = {"cpu": "100m", "memory": "64Mi"}


def test_an_unknown_authority_is_named_to_whoever_has_to_trust_it_and_then_images_are_pushed_and_pulled(
    own_kubernetes: Cluster, namespace: str, registry: Registry, shell: str, tmp_path: Path
) -> None:
    host, authority = own_kubernetes.host_address, Authority.create(tmp_path / "authority")
    authority.issue("registry", "registry", hosts=[host])
    certificate, pair = authority.folder / "ca.crt", ("registry.crt", "registry.key")
    place = registry.secure(host, *(authority.folder / name for name in pair))
    with Lab(own_kubernetes, namespace, registry) as lab:
        try:
            local_error = lab.connect("--registry", place, expect=2).stderr
            assert (
                f"the registry {place} cannot be trusted: " in local_error
                and "certificate verify failed" in local_error
            )
            assert f"put its CA into /etc/docker/certs.d/{place}/ca.crt or name it in REQUESTS_CA_BUNDLE" in local_error

            lab.home.env["REQUESTS_CA_BUNDLE"] = str(certificate)
            node_error = lab.connect("--registry", place, expect=1).stderr
            assert f"the image {place}/" in node_error and "certificate signed by unknown authority" in node_error
            assert "the nodes do not know the authority of the registry's certificate" in node_error

            own_kubernetes.trust(place, certificate)
            lab.connect("--registry", place)
            checks = lab.json("test")
            assert [finding for finding in checks if finding["state"] == "error"] == []
            assert f"{place} accepts images" in [finding["detail"] for finding in checks]
            image = f"{place}/{shell.partition('/')[2]}"
            lab.home.run("cluster", "use", lab.name)
            handle = launch(lab, image, budget=2, resources=SMALL)
            assert ended(lab, handle)["counts"]["completed"] == 2
            client(lab).close()
            assert place in lab.cluster.kubectl("get", "pods", "-n", namespace, "-o", "jsonpath={..image}")

            del lab.home.env["REQUESTS_CA_BUNDLE"]
            failed_checks = json.loads(lab.run("test", "--json", expect=1).stdout)
            [failed] = [finding for finding in failed_checks if finding["state"] == "error"]
            assert failed["name"] == "registry" and "cannot be trusted" in failed["detail"]
            assert f"/etc/docker/certs.d/{place}/ca.crt" in failed["remedy"]
        finally:
            lab.run("destroy", "--yes", "--stop", "--abandon", expect=None)
