"""An experiment without a file: the words of a command line are read as a file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from orchestune.config.document.nodes import Entries, ScalarNode, SourcePosition
from orchestune.config.document.save import text
from orchestune.config.experiment_file import Loaded, parse, without_file
from orchestune.config.sources.description import DescribedOption, Description, Goal
from orchestune.domain.search.parameters import Parameter
from orchestune.errors import BadInput

FOLDER = Path("/somewhere/project")
LOSS = (Goal("--minimize", "val/loss", "minimize"),)
TRAIN = ("python", "train.py", "{args}")
BUDGET = (DescribedOption("--budget", "budget", "40"),)


def read(*spaces: str, overrides: tuple[str, ...] = (), **words: Any) -> Loaded:
    usual: dict[str, Any] = {"goals": LOSS, "command": TRAIN, "settings": BUDGET}
    return without_file(Description(spaces, **{**usual, **words}), FOLDER, overrides)


def problems(*spaces: str, **words: Any) -> list[str]:
    with pytest.raises(BadInput) as caught:
        read(*spaces, **words)
    return [str(problem) for problem in caught.value.problems]


def parameter(word: str) -> Parameter:
    [parsed_parameter] = read(word).specification.space.parameters
    return parsed_parameter


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("lr=1e-5..1e-1:log", Parameter("lr", "float", 1e-5, 0.1, log=True)),
        ("lr=1e-5..1e-1 log", Parameter("lr", "float", 1e-5, 0.1, log=True)),
        ("layers=2..8", Parameter("layers", "int", 2, 8)),
        ("layers=2..8:step=2", Parameter("layers", "int", 2, 8, step=2)),
        ("layers=2..8:step:2", Parameter("layers", "int", 2, 8, step=2)),
        ("drop=0..1:float", Parameter("drop", "float", 0.0, 1.0)),
        ("layers=2.0..8.0:int", Parameter("layers", "int", 2, 8)),
        ("width=8..512:log:int", Parameter("width", "int", 8, 512, log=True)),
        ("x=-1..1", Parameter("x", "int", -1, 1)),
        ("opt=adam,sgd", Parameter("opt", "categorical", choices=("adam", "sgd"))),
        ("size=16,32,64", Parameter("size", "categorical", choices=(16, 32, 64))),
        ("path=../a,../b", Parameter("path", "categorical", choices=("../a", "../b"))),
        ("f=relu(x),id", Parameter("f", "categorical", choices=("relu(x)", "id"))),
        ("f='f(x',3", Parameter("f", "categorical", choices=("f(x", 3))),
        ("opt=[adam, sgd]", Parameter("opt", "categorical", choices=("adam", "sgd"))),
        ('text="a, b",c', Parameter("text", "categorical", choices=("a, b", "c"))),
        ("text='1',2", Parameter("text", "categorical", choices=("1", 2))),
        ("amp=true,false", Parameter("amp", "bool", choices=(False, True))),
        ("amp=bool", Parameter("amp", "bool", choices=(False, True))),
        ("optim.lr=0.1..0.2", Parameter("optim.lr", "float", 0.1, 0.2)),
        ("a={min: 1, max: 3, log: true}", Parameter("a", "int", 1, 3, log=True)),
    ],
)
def test_a_word_says_what_is_tried_for_a_parameter(word: str, expected: Parameter) -> None:
    assert parameter(word) == expected


def test_the_first_goal_decides_and_all_are_kept() -> None:
    goals = (Goal("--maximize", "accuracy", "maximize"), *LOSS)
    metrics = read("a=1..2", goals=goals).specification.metrics
    assert [(metric.name, metric.goal) for metric in metrics] == [("accuracy", "maximize"), ("val/loss", "minimize")]


@pytest.mark.parametrize(
    ("command", "run"),
    [
        (("python", "train.py", "{args}"), "python train.py {args}"),
        (("python", "train.py", "--name", "a b"), ("python", "train.py", "--name", "a b")),
        (("python train.py {args} | tee log",), "python train.py {args} | tee log"),
        (("echo", "$HOME"), ("echo", "$HOME")),
        (("true",), ("true",)),
        (("prog", "--suffix", "", " "), ("prog", "--suffix", "", " ")),
    ],
)
def test_the_command_runs_with_the_words_that_were_given(command: tuple[str, ...], run: str | tuple[str, ...]) -> None:
    assert read("a=1..2", command=command).specification.run == run


def test_options_stand_for_keys_and_set_replaces_both() -> None:
    settings = (
        *BUDGET,
        DescribedOption("--cpu", "resources.cpu", "2"),
        DescribedOption("--name", "name", "a: b", text=True),
        DescribedOption("--timeout", "timeout", "20m"),
    )
    specification = read("a=1..9", settings=settings, overrides=("budget=7", "stop.patience=3")).specification
    assert (specification.budget, specification.resources.cpu) == (7, 2.0)
    assert (specification.name, specification.timeout, specification.stop.patience) == ("a: b", 1200.0, 3)


def test_the_folder_names_the_experiment() -> None:
    assert read("a=1..2").specification.name == "project"


def test_a_command_without_a_placeholder_is_noted() -> None:
    assert any("placeholder" in note for note in read("a=1..2", command=("./train",)).notes)
    for command in (TRAIN, ("sh", "-c", './train "$ORCHESTUNE_PARAMS"'), ("./train $ORCHESTUNE_PARAM_A",)):
        assert not any("placeholder" in note for note in read("a=1..2", command=command).notes)


def test_a_single_trial_needs_no_budget() -> None:
    assert read("a=1..2", settings=(), once=True).specification.budget == 1


def test_a_grid_needs_no_budget() -> None:
    assert read("a=1..4", settings=(DescribedOption("--engine", "engine", "grid"),)).specification.budget == 4


def test_each_thing_that_is_missing_is_named_once_with_what_to_write() -> None:
    assert problems(goals=(), command=(), settings=()) == [
        "command line: run: is missing (end with the command, for example -- python train.py {args})",
        "command line: parameters: is missing (for example lr=1e-5..1e-1:log, layers=2..8 or opt=adam,sgd)",
        (
            "command line: metrics: is missing (name a metric that your program prints: --minimize loss, or"
            " --maximize accuracy)"
        ),
        "command line: budget: is missing (set the number of trials, for example --budget 40)",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lr=1e-5..1:lgo"], "argument lr=1e-5..1:lgo: parameters.lr: found 'lgo' after the range"),
        (["lr=1e-5..1:lgo"], "expected log, int, float or step N (did you mean log?)"),
        (["lr=2:8"], "(did you mean 2..8?)"),
        (["lr=1e-5-1e-1:log"], "(did you mean 1e-5..1e-1:log?)"),
        (["lr=8..2"], "argument lr=8..2: parameters.lr: "),
        (["lr"], "argument lr: not of the form NAME=RANGE"),
        (["minimize"], "(did you mean --minimize?)"),
        (["search.yml"], "(name a file with -f: -f search.yml)"),
        (["lr=1..2", "lr=2..3"], "argument lr=2..3: sets 'lr' again"),
        (["a=b,,c"], "argument a=b,,c: has an extra comma"),
        (["lr=0,001..0,1"], "argument lr=0,001..0,1: mixes a range with values (write a range alone"),
        (["lr=loguniform(1e-5,1e-1)"], "a comma within parentheses at 'loguniform(1e-5' (write a range as 0.1..1.0 "),
        (["a=[1, 2"], "argument a=[1, 2: not valid YAML"),
        (["1a=1..2"], "argument 1a=1..2: parameters.1a: "),
        (["a=1..2", "b={min: 1, max: 2, when: {c: 1}}"], "'c'"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_argument(words: list[str], message: str) -> None:
    messages = problems(*words)
    assert len(messages) == 1, messages
    assert message in messages[0]


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("search.yml", "(name a file with -f: -f search.yml)"),
        (
            "train.py",
            "(create the file of a script with `orchestune init train.py`; put a command last, after --)",
        ),
    ],
)
def test_a_file_or_a_script_without_its_place_is_all_that_is_wrong(word: str, hint: str) -> None:
    [message] = problems(word, goals=(), command=(), settings=())
    assert message == f"argument {word}: not of the form NAME=RANGE {hint}"


def test_a_mistake_names_the_option() -> None:
    [message] = problems("a=1..2", settings=(*BUDGET, DescribedOption("--engine", "engine", "girid")))
    assert message.startswith("--engine: found 'girid'")
    assert message.endswith("(did you mean grid?)")


def test_an_unknown_placeholder_is_a_mistake_in_the_command() -> None:
    [message] = problems("rate=1..2", command=("python", "train.py", "{rat}"))
    assert message == "the command: run: unknown placeholder '{rat}' (did you mean rate?)"


def test_words_go_over_a_file() -> None:
    file = "run: ./train {args}\nparameters:\n  a: 1..2\nmetrics:\n  loss: minimize\nbudget: 4\n"
    described = Description(("b=3..4",), LOSS, TRAIN, (DescribedOption("--budget", "budget", "9"),))
    specification = parse(file, "experiment.yml", described=described).specification
    assert [p.name for p in specification.space.parameters] == ["a", "b"]
    assert (specification.run, specification.budget, specification.metrics[0].name) == (
        "python train.py {args}",
        9,
        "val/loss",
    )


@pytest.mark.parametrize(
    "words",
    [
        ["optim.lr=1e-5..1e-1:log", "layers=2..8", "opt=adam,sgd"],
        ["a=0..1:step=0.25", "b=true,false", 'c="a, b",#1,x', "d={min: 1, max: 2, when: {c: x}}"],
        ["a='1',1.5", "b=yes,no", "n='null',~x"],
    ],
)
@pytest.mark.parametrize("command", [TRAIN, ("sh", "-c", "echo 'x: 1' # {args}"), ("a {args} > 'x y'",), ("a", "")])
def test_the_saved_file_is_the_same_experiment(words: list[str], command: tuple[str, ...]) -> None:
    settings = (
        *BUDGET,
        DescribedOption("--name", "name", "a: b # c", text=True),
        DescribedOption("--memory", "resources.memory", "1Gi"),
    )
    loaded = read(*words, settings=settings, command=command, overrides=("stop.patience=3", "env.A='b: c'"))
    saved = text(loaded.document, "what it is")
    assert parse(saved, str(FOLDER / "experiment.yml")).specification == loaded.specification
    assert saved.startswith("# yaml-language-server: $schema=")


@given(some.text(max_size=20))
def test_any_text_survives_being_saved(value: str) -> None:
    value = "".join(char for char in value if char != "\0" and not "\ud800" <= char <= "\udfff")
    place = SourcePosition("")
    document = read("a=1..2").document
    labels = Entries(place, ((ScalarNode(place, "x", "x"), ScalarNode(place, value, value)),))
    document = document.with_entry(ScalarNode(place, "labels", "labels"), labels)
    assert parse(text(document), "experiment.yml").specification.labels == {"x": value}


@pytest.mark.parametrize("empty", ["env: {}", "labels: {}", "secrets: {}", "secrets: []", "try_first: []"])
def test_what_is_empty_is_saved_as_such(empty: str) -> None:
    file = f"run: train\nparameters: {{a: 1..2}}\nmetrics: {{m: minimize}}\nbudget: 1\n{empty}\n"
    assert parse(text(parse(file, "experiment.yml").document), "experiment.yml").specification.env == {}
