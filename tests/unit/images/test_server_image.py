"""Labels of the server's image, and the parts of this installation that go into it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestune.errors import UsageError
from orchestune.images.registries.manifests import Platform, sha256
from orchestune.images.runtime.distribution import libraries, library_files, own_files
from orchestune.images.runtime.layer import Layer
from orchestune.images.runtime.server_image import compose, configuration, refuse_others

LAYERS = [Layer(Path("/x"), "sha256:" + digit * 64, int(digit), "sha256:" + digit * 63 + "d") for digit in "12"]


def test_the_configuration_runs_the_server_as_nobody_in_particular() -> None:
    document = json.loads(configuration(Platform("arm64"), LAYERS))
    config = document.pop("config")
    assert document == {
        "architecture": "arm64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in LAYERS]},
    }
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/opt/orchestune/bin/orchestune"]
    assert config["Cmd"][0] == "server"
    assert config["Env"] == [
        "PATH=/opt/orchestune/bin",
        "HOME=/tmp",
        "LD_LIBRARY_PATH=/opt/orchestune/runtime/py/lib:/opt/orchestune/lib",
        "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
    ]


def test_the_manifest_names_configuration_and_layers() -> None:
    manifest = compose(b"{}", LAYERS)
    assert manifest.document == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"{}"), "size": 2},
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer.digest, "size": layer.size}
            for layer in LAYERS
        ],
    }


def test_nodes_of_another_architecture_are_refused_with_the_way_out() -> None:
    refuse_others(Platform("amd64"), [])
    refuse_others(Platform("amd64"), [Platform("amd64")])
    with pytest.raises(UsageError, match="for linux/arm64: this machine is linux/amd64") as caught:
        refuse_others(Platform("amd64"), [Platform("amd64"), Platform("arm64"), Platform("arm64")])
    assert "--server-image" in caught.value.hint


def test_the_libraries_are_what_the_package_needs_and_not_what_develops_it() -> None:
    names = {distribution.metadata["Name"].lower() for distribution in libraries()}
    assert {"fastapi", "starlette", "optuna", "numpy", "sqlalchemy", "urllib3", "docker", "requests"} <= names
    assert {"psycopg", "boto3", "botocore"} <= names  # extras that are installed here
    assert not {"pytest", "mypy", "moto", "ruff", "orchestune", "pip"} & names


def test_no_tests_caches_or_paths_of_this_machine_are_taken_along() -> None:
    [botocore] = [distribution for distribution in libraries() if distribution.metadata["Name"] == "botocore"]
    names = [name for name, _ in library_files(botocore)]
    assert "botocore/session.py" in names and "botocore/data/endpoints.json" in names
    assert {name.split("/")[2] for name in names if name.count("/") > 3 and "/data/" in name} <= {
        "lambda", "s3", "sso", "sso-oidc", "sts",
    }  # fmt: skip
    own = [name for name, _ in own_files()]
    assert "orchestune/cli/main.py" in own and "orchestune/py.typed" in own
    assert [name for name in own if name.endswith(".dist-info/METADATA")]
    for name in names + own:
        assert "__pycache__" not in name and not name.endswith(("direct_url.json", "RECORD")), name
        assert not name.startswith(("/", "..")), name
