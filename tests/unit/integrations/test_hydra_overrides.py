"""Hydra's override grammar, read by Hydra, as a space to search."""

from __future__ import annotations

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from orchestune.errors import UsageError
from orchestune.integrations.hydra.overrides import Swept
from orchestune.integrations.hydra.returned import named


def swept(*words: str) -> Swept:
    return Swept(OverridesParser.create().parse_overrides(list(words)))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("x=interval(0,1)", {"type": "float", "min": 0.0, "max": 1.0, "log": False}),
        ("x=tag(log, interval(1e-5,1e-1))", {"type": "float", "min": 1e-5, "max": 0.1, "log": True}),
        ("x=tag(log, int(interval(1,64)))", {"type": "int", "min": 1, "max": 64, "log": True}),
        ("x=range(1,5)", {"type": "int", "min": 1, "max": 4, "step": 1}),
        ("x=range(9,0,-3)", {"type": "int", "min": 3, "max": 9, "step": 3}),
        ("x=range(0,1,0.25)", {"type": "float", "min": 0.0, "max": 0.75, "step": 0.25}),
        ("x=tag(log, range(1,9))", {"type": "int", "min": 1, "max": 8, "log": True}),
        ("x=tag(log, range(1,9,3))", [1, 4, 7]),
        ("x=a,b", ["a", "b"]),
        ("x=choice(1,2.5,true)", [1, 2.5, True]),
        ("x='a b',[1,2],{k:v}", ["'a b'", "[1,2]", "{k:v}"]),
        ("x=sort(3,1,2)", [1, 2, 3]),
        ("x=sort(3,1,2,reverse=true)", [3, 2, 1]),
        (r"x=a\,b,c", [r"a\,b", "c"]),
        ("x=null,nan,inf,0.5", ["null", "nan", "inf", 0.5]),
        ("x=shuffle(range(1,4))", {"type": "int", "min": 1, "max": 3, "step": 1}),
        ("x=float(range(1,3))", {"type": "float", "min": 1.0, "max": 2.0, "step": 1.0}),
        ("x=bool(1,0)", [True, False]),
        ("x=2,1,2", [2, 1]),
        ("x=1,true,1,true", [1, True]),
    ],
)
def test_a_sweep_override_is_a_parameter(word: str, expected: Any) -> None:
    swept_word = swept(word)
    assert swept_word.parameters == {"x": expected}
    assert swept_word.words == ["x={x}"]


@pytest.mark.parametrize("words", [("db@src=a,b", "db_src=c,d"), ("x=1,2", "x=3,4"), ("x=1,2", "+x=3,4")])
def test_two_sweeps_of_one_name_are_refused(words: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="are both the parameter"):
        swept(*words)


def test_what_does_not_vary_is_part_of_the_command_as_it_was_written() -> None:
    swept_words = swept("db=mysql", "~cache", "+new={a:1}", "one=choice(7)", "root=${oc.env:HOME}", "x=1,2")
    assert swept_words.words == ["db=mysql", "~cache", "+new={{a:1}}", "one=7", "root=${{oc.env:HOME}}", "x={x}"]


def test_keys_keep_what_hydra_says_with_them() -> None:
    swept_words = swept("+data.size=1,2", "++y=3,4", "db@source=a,b")
    assert swept_words.words == ["+data.size={data.size}", "++y={y}", "db@source={db_source}"]
    assert swept_words.keys == {"data.size": "+data.size", "y": "++y", "db_source": "db@source"}
    assert swept_words.example == ["+data.size=1", "++y=3", "db@source=a"]


@pytest.mark.parametrize("word", ["x=1", "x=1,1", "x=interval(5,5)"])
def test_a_sweep_of_one_value_alone_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="no override is a sweep"):
        swept(word)
    assert swept(word, "y=1,2").words[0].startswith("x=")
    assert set(swept(word, "y=1,2").parameters) == {"y"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("~x=1,2", "cannot sweep ~x=1,2: it removes a key"),
        ("x=interval(5,1)", r"x=interval\(5,1\): the start 5.0 is more than the end 1.0"),
    ],
)
def test_a_sweep_that_means_nothing_is_refused(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        swept(word)


def test_a_tag_without_a_meaning_is_told(caplog: pytest.LogCaptureFixture) -> None:
    swept("x=tag(fast, interval(0,1))")
    assert "unsupported tags are ignored: fast" in caplog.text


@pytest.mark.parametrize(
    ("value", "metrics", "expected"),
    [
        (0.5, ["loss"], {"loss": 0.5}),
        ((1, 2), ["a", "b"], {"a": 1, "b": 2}),
        ({"b": 1, "other": 2}, ["a", "b"], {"b": 1, "other": 2}),
    ],
)
def test_what_a_function_returned_is_named_by_the_metrics(value: Any, metrics: list[str], expected: Any) -> None:
    assert named(value, metrics) == expected


@pytest.mark.parametrize("value", [0.5, (1, 2, 3), "text"])
def test_another_number_of_values_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="expected 2 numbers"):
        named(value, ["a", "b"])
