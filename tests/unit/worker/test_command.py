"""Placeholders, and the command lines that they give."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from orchestune.worker.command import overrides, placeholders, render, variable

NAMES = ["optim.lr", "amp", "model/depth", "warm-up", "name"]
VALUES = {"optim.lr": 3e-4, "amp": True, "model/depth": 3, "name": "a b"}
ARGUMENTS = ["--optim.lr=0.0003", "--amp", "--model/depth=3"]
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("python model.py {args}", ["args"]),
        ("{optim.lr} {amp} {optim.lr}", ["optim.lr", "amp"]),
        ("echo ${HOME} $ORCHESTUNE_PARAM_X", []),
        ("awk '{print $1}' {name}", ["name"]),
        ("{{args}} {{}} {} {a,b}", []),
        (["x", "--lr={optim.lr}", "{hydra}"], ["optim.lr", "hydra"]),
    ],
)
def test_placeholders_are_found_once_each_and_braces_of_the_shell_are_left_alone(
    run: str | list[str], expected: list[str]
) -> None:
    assert placeholders(run) == expected


@pytest.mark.parametrize(
    ("run", "command"),
    [
        ("python m.py {args}", ["python", "m.py", "--optim.lr=0.0003", "--amp", "--model/depth=3", "--name=a b"]),
        ("python m.py {hydra}", ["python", "m.py", "optim.lr=0.0003", "amp=true", "model/depth=3", "name=a b"]),
        ("m --lr={optim.lr} '{name}' {warm-up}", ["m", "--lr=0.0003", "a b", ""]),
        (["m", "{args}", "{name}", "x{warm-up}y"], ["m", *ARGUMENTS, "--name=a b", "a b", "xy"]),
        ("m {name} # don't {name}\nn {name}", ["sh", "-c", "m 'a b' # don't 'a b'\nn 'a b'"]),
        ("m $(echo \"{name}\" {name}) \"{name}\"", ["sh", "-c", "m $(echo \"a b\" 'a b') \"a b\""]),
        ("(m {name}) && n '(' {name}", ["sh", "-c", "(m 'a b') && n '(' 'a b'"]),
        ("m {{name}} | cat", ["sh", "-c", "m {name} | cat"]),
        ("m {name} > out", ["sh", "-c", "m 'a b' > out"]),
        ("m \"{name}\" '{name}' && n", ["sh", "-c", "m \"a b\" 'a b' && n"]),
        ("m {args} ; n", ["sh", "-c", "m --optim.lr=0.0003 --amp --model/depth=3 '--name=a b' ; n"]),
        ("cd x", ["sh", "-c", "cd x"]),
        ("A=1 m", ["sh", "-c", "A=1 m"]),
        ("m 'open", ["sh", "-c", "m 'open"]),
        ("m --flag=x", ["m", "--flag=x"]),
    ],
)  # fmt: skip
def test_a_command_line_is_rendered_as_documented(run: str | list[str], command: list[str]) -> None:
    assert render(run, VALUES, NAMES) == command


def test_false_and_inactive_parameters_are_no_arguments() -> None:
    assert render("m {args}", {"amp": False, "optim.lr": 1.0}, NAMES) == ["m", "--optim.lr=1.0"]
    assert render("m {hydra}", {"amp": False}, NAMES) == ["m", "amp=false"]


def _read_by_hydra(value: object) -> object:
    (word,) = overrides({"k": value}, ["k"])
    override = OverridesParser.create().parse_override(word)
    assert not override.is_sweep_override()
    return override.value()


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("a b", "a b"),
        ("/data/x-1.csv", "/data/x-1.csv"),
        ("a,b", "'a,b'"),
        ("it's", r"'it\'s'"),
        ("a\\", r"'a\\'"),
        ("true", "'true'"),
        ("1e5", "'1e5'"),
        ("[1", "'[1'"),
        ("[1][2]", "'[1][2]'"),
        ("[64,64]", "[64,64]"),
        ("{a: [1, 2]}", "{a: [1, 2]}"),
    ],
)
def test_a_text_is_written_for_hydra(value: str, word: str) -> None:
    assert overrides({"k": value}, ["k"]) == [f"k={word}"]


@pytest.mark.parametrize(
    "value", ["a#b", "a=b", "x(y)", "null", "Inf", "~x", "é", "0x1", "it\\'s", "a\nb", " a ", "", "1.5"]
)
def test_hydra_reads_a_text_back_as_it_is(value: str) -> None:
    assert _read_by_hydra(value) == value


@given(TEXT.filter(lambda text: not text.startswith(("[", "{"))))
def test_hydra_reads_any_text_back_as_it_is(value: str) -> None:
    assert _read_by_hydra(value) == value


def test_hydra_reads_numbers_truth_values_and_lists() -> None:
    assert [_read_by_hydra(value) for value in (True, 3, 1e-5, "[64,64]")] == [True, 3, 1e-5, [64, 64]]


def test_a_placeholder_that_names_no_parameter_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"unknown placeholder: {b} \(expected a, "):
        render("m {b}", {}, ["a"])


@given(TEXT)
def test_no_value_is_ever_read_by_the_shell(value: str) -> None:
    run = "printf '%s|' {v} \"{v}\" '{v}' x{v}y \"$(printf %s {v})\"; true"
    command = render(run, {"v": value}, ["v"])
    assert command[:2] == ["sh", "-c"]
    printed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert printed == "|".join([value, value, value, f"x{value}y", value.rstrip("\n"), ""])


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_a_plain_command_has_one_word_for_each_value(values: list[str]) -> None:
    names = [f"p{index}" for index in range(len(values))]
    run = "m " + " ".join(f"{{{name}}}" for name in names)
    assert render(run, dict(zip(names, values, strict=True)), names) == ["m", *values]


@given(TEXT)
def test_rendering_a_text_without_placeholders_keeps_its_words(text: str) -> None:
    if placeholders(text) or "{{" in text or "}}" in text:
        return
    command = render(text, {}, [])
    assert command == ["sh", "-c", text] or command == shlex.split(text)


def test_variables_of_parameters_have_letters_digits_and_underscores() -> None:
    assert variable("optim/lr-1.x") == "ORCHESTUNE_PARAM_OPTIM_LR_1_X"
