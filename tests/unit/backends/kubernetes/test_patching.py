from __future__ import annotations

from typing import Any

import pytest

from orchestune.backends.kubernetes.objects.patching import merged


@pytest.mark.parametrize(
    ("base", "patch", "expected"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3, "d": 4}}, {"a": {"b": 1, "c": 3, "d": 4}}),
        ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
        ({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"command": ["x", "y"]}, {"command": ["z"]}, {"command": ["z"]}),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
        ),
        (
            {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]},
            {"volumeMounts": [{"name": "tmp", "mountPath": "/scratch"}]},
            {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "tmp", "mountPath": "/scratch"}]},
        ),
        (
            {"tolerations": [{"key": "a"}]},
            {"tolerations": [{"key": "b"}]},
            {"tolerations": [{"key": "a"}, {"key": "b"}]},
        ),
        ({"a": [1]}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_a_patch_is_merged(base: Any, patch: Any, expected: Any) -> None:
    assert merged(base, patch) == expected


def test_what_was_given_stays_as_it_was() -> None:
    base, patch = {"a": {"b": [{"name": "x"}]}}, {"a": {"b": [{"name": "x", "y": 1}]}}
    merged(base, patch)
    assert base == {"a": {"b": [{"name": "x"}]}}
