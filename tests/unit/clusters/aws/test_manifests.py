"""Objects beside the server, compared with a golden file; and their releases."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from orchestune.clusters.aws import releases
from orchestune.clusters.aws.manifests import components
from orchestune.clusters.existing.text import as_yaml
from orchestune.errors import OrchestuneError, Unreachable
from orchestune.images.registries.reference import Reference
from orchestune.kubeapi.labels import OWN_LABELS
from tests.unit.clusters.aws import specs
from tests.unit.clusters.aws.test_requests import site

GOLDEN = Path(__file__).parent / "golden" / "manifests.yaml"


def test_manifests_are_what_the_file_says() -> None:
    text = as_yaml(components.manifests(site(specs.spec(specs.FULL_FILE))))
    if os.environ.get("ORCHESTUNE_WRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert GOLDEN.read_text() == text


def test_everything_is_marked_as_ours_so_that_it_may_be_applied_again() -> None:
    for document in components.manifests(site(specs.spec(specs.FULL_FILE))):
        assert OWN_LABELS.items() <= document["metadata"]["labels"].items()


def test_without_cards_there_is_no_device_plugin() -> None:
    spec = specs.spec(specs.FULL_FILE)
    spec = replace(spec, pools=tuple(pool for pool in spec.pools if not pool.gpu))
    assert "DaemonSet" not in {document["kind"] for document in components.manifests(site(spec))}


def test_the_newest_release_for_the_version_of_kubernetes_is_taken_or_that_of_the_one_before() -> None:
    tags = ["v1.32.0", "v1.33.0", "v1.33.2", "v1.34.0-beta.1", "latest", "v1.35.1"]
    assert releases.autoscaler("1.33", lambda where: tags) == f"{releases.AUTOSCALER}:v1.33.2"
    assert releases.autoscaler("1.34", lambda where: tags) == f"{releases.AUTOSCALER}:v1.33.2"
    assert releases.device_plugin(lambda where: ["v0.9.0", "v0.17.1", "v0.17.1-ubi9"]).endswith(":v0.17.1")


def test_where_no_registry_answers_the_file_may_name_the_image() -> None:
    def away(where: Reference) -> list[str]:
        raise Unreachable(f"{where.registry} cannot be reached")

    with pytest.raises(Unreachable) as caught:
        releases.autoscaler("1.33", away)
    assert "`images: {autoscaler: …}`" in caught.value.hint
    with pytest.raises(OrchestuneError, match="no suitable release"):
        releases.autoscaler("1.33", lambda where: ["v2.0.0"])
