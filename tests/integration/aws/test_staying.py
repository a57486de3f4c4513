"""Parts of a file that cannot change an existing cluster are reported with their position instead of ignored."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from orchestune.domain.clusters.cluster import AccessGrant, NetworkSpec
from orchestune.errors import Conflict, OrchestuneError
from tests.integration.aws import plain, stage
from tests.testbeds.aws.fake import Fake
from tests.testbeds.aws.identities import ACCOUNT

READING = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
NODE = f"orchestune-{stage.NAME}-us-west-2-node"


def complaints(**changes: Any) -> list[tuple[str, str]]:
    complaints, _ = stage.provisioner().check(dataclasses.replace(stage.SPEC, **changes))
    return [(one.key, one.message) for one in complaints]


def test_a_cluster_that_is_as_its_file_says_has_nothing_to_complain_about(aws: Fake) -> None:
    stage.create()
    assert complaints() == []
    assert complaints(zones=("us-west-2a", "us-west-2b", "us-west-2c", "us-west-2d")) == []


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"zones": ("us-west-2a", "us-west-2d")}, "zones", "is in us-west-2a, us-west-2b, us-west-2c"),
        ({"network": NetworkSpec(cidr="10.9.0.0/16")}, "network.cidr", "has 10.42.0.0/16"),
        ({"bucket": False}, "bucket", "are in its bucket"),
        ({"version": "1.36"}, "kubernetes_version", "has 1.35"),
    ],
)
def test_where_it_stands_and_where_its_files_lie_stays(aws: Fake, changes: Any, key: str, words: str) -> None:
    stage.create()
    [(problem_key, message)] = complaints(**changes)
    assert problem_key == key and words in message


def test_a_cluster_whose_files_lie_on_a_disk_gets_no_bucket_that_nobody_uses(aws: Fake) -> None:
    stage.create(stage.with_pools(bucket=False))
    [(key, message)] = complaints(bucket=True)
    assert key == "bucket" and "on its server's disk" in message
    assert complaints(bucket=False) == []


def test_a_bucket_that_somebody_has_removed_is_still_that_of_the_cluster(aws: Fake) -> None:
    stage.create()
    plain.client("s3").delete_bucket(Bucket=f"orchestune-{stage.NAME}-us-west-2-{ACCOUNT}")
    assert complaints() == []
    assert complaints(bucket=False)[0][0] == "bucket"


def test_a_cluster_in_a_network_of_somebody_stays_in_it(aws: Fake) -> None:
    vpc, subnets = plain.network()
    theirs = NetworkSpec(vpc=vpc, subnets=tuple(subnets))
    stage.create(dataclasses.replace(stage.SPEC, network=theirs))
    assert complaints(network=theirs) == []
    [(key, message)] = complaints()
    assert key == "network" and vpc in message
    stage.destroy()


def test_a_cluster_of_that_name_that_is_not_ours_is_refused_as_such(aws: Fake) -> None:
    plain.cluster(stage.NAME)
    assert complaints() == []
    with pytest.raises(Conflict, match="is not ours"):
        stage.create()


def test_tags_that_what_is_there_does_not_get_are_noted(aws: Fake) -> None:
    stage.create(dataclasses.replace(stage.SPEC, tags={"team": "vision"}))
    noted = {}
    for team in ("vision", "speech"):
        _, notes = stage.provisioner().check(dataclasses.replace(stage.SPEC, tags={"team": team}))
        noted[team] = [note for note in notes if note.startswith("tags:")]
    assert noted["vision"] == [] and len(noted["speech"]) == 1


def test_a_policy_that_the_file_names_no_more_is_taken_from_the_machines(aws: Fake) -> None:
    stage.create(dataclasses.replace(stage.SPEC, policies=(READING,)))
    cluster_provisioner = stage.provisioner()
    assert [(one.title, one.detail) for one in cluster_provisioner.changes(stage.SPEC)] == [
        (f"role {NODE}", "without AmazonS3ReadOnlyAccess")
    ]
    events = stage.RecordedEvents()
    cluster_provisioner.update(stage.SPEC, events, lambda pool, beat: None)
    attached = plain.client("iam").list_attached_role_policies(RoleName=NODE)["AttachedPolicies"]
    assert sorted(one["PolicyName"] for one in attached) == [
        "AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy",
    ]  # fmt: skip
    assert [event.resource.title for event in events.events if event.resource.detail.startswith("without")]
    assert stage.provisioner().changes(stage.SPEC) == []


def test_somebody_who_is_not_there_is_told_with_where_that_is_mended(aws: Fake) -> None:
    spec = dataclasses.replace(stage.SPEC, access=(AccessGrant(f"arn:aws:iam::{ACCOUNT}:user/nobody", "editor"),))
    with pytest.raises(OrchestuneError, match="user/nobody") as caught:
        stage.create(spec)
    assert "correct `access` in the file" in caught.value.hint
    stage.create()
    stage.destroy()
