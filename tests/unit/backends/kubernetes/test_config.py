from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestune.backends.kubernetes.config import KubernetesConfig, read
from orchestune.errors import BadInput

LEAST = {"cluster": "lab", "namespace": "ml", "url": "http://o:8470/", "runtime_image": "server:1"}


def written(folder: Path, document: Any) -> Path:
    file = folder / "kubernetes.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def test_the_least_is_enough(tmp_path: Path) -> None:
    assert read(written(tmp_path, LEAST)) == KubernetesConfig("lab", "ml", "http://o:8470", "server:1")


def test_everything_is_read(tmp_path: Path) -> None:
    more = {"pull_secrets": ["a"], "cpu": 2, "memory": 2**30, "elastic": True, "restricted": None, "default_image": "x"}
    config = read(written(tmp_path, LEAST | more))
    assert (config.pull_secrets, config.cpu, config.memory, config.elastic) == (("a",), 2.0, 2**30, True)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (LEAST | {"namespaces": "x"}, r"namespaces: there is no such key \(did you mean namespace\?\)"),
        ({"cluster": "lab"}, "runtime_image: is missing"),
        (LEAST | {"cpu": "two"}, 'cpu: found "two", expected a number of cores'),
        (LEAST | {"memory": True}, "memory: found true, expected a number of bytes, or null"),
        (LEAST | {"image_volumes": "yes"}, 'image_volumes: found "yes", expected true, false, or null'),
        (LEAST | {"elastic": 1}, "elastic: found 1, expected true or false"),
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read(written(tmp_path, document))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nothing\.json: cannot be read: No such file"):
        read(tmp_path / "nothing.json")
