"""Ranges around defaults."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestune.config.document.nodes import SourcePosition, mapping
from orchestune.config.document.save import text
from orchestune.config.experiment_file import parse
from orchestune.config.scripts.option import Kind, Option
from orchestune.config.scripts.proposing import propose


@pytest.mark.parametrize(
    ("name", "kind", "default", "expected"),
    [
        ("learning_rate", "float", 3e-4, "3e-6..0.03 log"),
        ("optim.lr", "float", 0.1, "0.001..1.0 log"),
        ("weight-decay", "float", 0.0, [0.0, 1e-5, 1e-4, 1e-3, 0.01]),
        ("alpha", "float", 1e-4, "1e-6..0.01 log"),
        ("dropoutRate", "float", 0.1, "0.0..0.5"),
        ("momentum", "float", 0.9, "0.5..0.99"),
        ("adam_beta2", "float", 0.999, "0.9..0.9999"),
        ("l1_ratio", "float", 0.15, "0.0..1.0"),
        ("margin", "float", 0.2, "0.04..1.0"),
        ("scale", "float", 8.0, "2.0..32.0 log"),
        ("shift", "float", -1.0, "-2.0..0.0"),
        ("batch_size", "int", 32, [8, 16, 32, 64, 128]),
        ("hidden_units", "int", 100, "25..400 log"),
        ("n_estimators", "int", 200, "50..800 log"),
        ("max_depth", "int", 6, "3..12"),
        ("layers", "int", 1, "1..3"),
        ("warm", "int", 0, "0..10"),
        ("lr", "float", None, "1e-5..0.1 log"),
    ],
)
def test_a_number_is_varied_around_its_default(name: str, kind: Kind, default: Any, expected: Any) -> None:
    proposal = propose(Option(name, kind, default))
    assert (proposal.spelling, proposal.vary) == (expected, True)


@pytest.mark.parametrize(
    "name",
    [
        "seed",
        "epochs",
        "num_workers",
        "log_interval",
        "save-model",
        "data_dir",
        "device",
        "max_steps",
        "eps",
        "niter",
        "ngpu",
        "test-batch-size",
    ],
)
def test_what_is_not_searched_is_proposed_but_not_varied(name: str) -> None:
    proposal = propose(Option(name, "int", 5))
    assert proposal.spelling is not None
    assert not proposal.vary


def test_a_text_without_choices_has_no_range() -> None:
    assert propose(Option("activation", "text", "relu")).spelling is None


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(["lr", "alpha", "dropout", "batch_size", "momentum", "width", "anything", "x_size", "gamma"]),
    whole=st.booleans(),
    default=st.floats(-1e15, 1e15) | st.integers(-(10**15), 10**15),
    least=st.none() | st.floats(-1e3, 1e3),
    most=st.none() | st.floats(-1e3, 1e3),
)
def test_every_range_is_one_that_the_file_may_have(
    name: str, whole: bool, default: float, least: float | None, most: float | None
) -> None:
    option = Option(name, "int" if whole else "float", int(default) if whole else float(default), (), least, most)
    proposal = propose(option)
    if proposal.spelling is None or (whole and isinstance(proposal.spelling, list) and not proposal.spelling):
        return
    document = mapping({"run": "x {args}", "parameters": {name: proposal.spelling}, "metrics": {"a": "minimize"},
                        "budget": 1}, SourcePosition("x"))  # fmt: skip
    assert parse(text(document), "x").specification.space.by_name[name].kind in ("int", "float", "categorical")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(["lr", "alpha", "dropout", "batch_size", "momentum", "width", "anything", "x_size", "gamma"]),
    whole=st.booleans(),
    default=st.sampled_from([0.0, 0.5, 0.99, 1.0, 1e-7, 0.015625, 3.0, 49.0, 50.0, -1.0])
    | st.floats(-1e3, 1e3)
    | st.integers(0, 10**6),
)
def test_every_range_contains_the_default(name: str, whole: bool, default: float) -> None:
    value = int(default) if whole else float(default)
    proposal = propose(Option(name, "int" if whole else "float", value))
    if proposal.spelling is None:
        return
    document = mapping({"run": "x {args}", "parameters": {name: proposal.spelling}, "metrics": {"a": "minimize"},
                        "budget": 1}, SourcePosition("x"))  # fmt: skip
    assert parse(text(document), "x").specification.space.by_name[name].problem(value) is None
