"""`--set KEY=VALUE` changes what the file says, with the same checks."""

from __future__ import annotations

import pytest

from orchestune.domain.search.parameters import Parameter
from orchestune.domain.specification.experiment import StopRules
from orchestune.domain.specification.metrics import Limit
from tests.unit.config.samples import ALPHA, GOOD, changed, problems, read, with_lines

DOTS = changed(f"alpha: {ALPHA}", "optim.lr: 0.1..1\n  optim: [sgd, adam]\n  deep.x: {type: float, min: 0, max: 1}")


def test_a_value_is_replaced_and_the_last_one_wins() -> None:
    assert read(GOOD, "budget=10", "budget=12").specification.budget == 12


def test_a_section_that_is_not_there_is_made() -> None:
    specification = read(GOOD, "stop.time=1h", "stop.patience=3", "env.LEVEL=2").specification
    assert specification.stop == StopRules(time=3600.0, patience=3)
    assert specification.env == {"LEVEL": "2"}


def test_values_are_yaml() -> None:
    experiment = read(GOOD, "parameters.alpha=1e-5..1 log", "resources={cpu: 2}", "run=[a, '{args}']", "labels.x=a=b")
    assert experiment.specification.space.parameters == (Parameter("alpha", "float", 1e-5, 1.0, log=True),)
    assert experiment.specification.resources.cpu == 2
    assert experiment.specification.run == ("a", "{args}")
    assert experiment.specification.labels == {"x": "a=b"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("run #3", "run #3"),
        ("#3", "#3"),
        ("/data/#1 of #2 ", "/data/#1 of #2"),
        ("one\ntwo\n\n  three", "one\ntwo\n\n  three"),
        ("'run #3'", "run #3"),
        ('"a\\nb"', "a\nb"),
        ("a#b", "a#b"),
    ],
)
def test_a_value_without_quotes_is_all_that_stands_there(value: str, text: str) -> None:
    """As a variable of the shell puts it there: `--set env.WHAT="$WHAT"`."""
    assert read(GOOD, f"env.WHAT={value}").specification.env == {"WHAT": text}


@pytest.mark.parametrize("value", ["[0.1, 0.2] # two", '"a" # b', "{a: 1, # b\n}"])
def test_a_comment_behind_a_value_is_refused(value: str) -> None:
    assert problems(GOOD, [f"labels.x={value}"]) == [
        "--set labels.x: contains a '#', which starts a comment in YAML (quote text that contains '#')"
    ]


def test_of_names_with_dots_the_longest_one_that_exists_is_meant() -> None:
    space = read(DOTS, "parameters.optim.lr=0.2..2", "parameters.deep.x.max=9").specification.space
    assert space.by_name["optim.lr"].high == 2
    assert space.by_name["deep.x"].high == 9
    assert space.by_name["optim"].choices == ("sgd", "adam")


def test_a_new_name_may_have_dots() -> None:
    names = read(DOTS, "parameters.optim.momentum=0.5..0.9", "metrics.val.loss=minimize").specification
    assert "optim.momentum" in names.space.by_name
    assert names.metrics[1].name == "val.loss"


def test_a_parameter_or_a_metric_that_the_file_does_not_have_is_noted() -> None:
    assert read(GOOD, "parameters.alpah=1e-5..1 log", "metrics.loss=minimize", "parameters.alpha=0..1").notes[:2] == (
        "--set parameters.alpah: alpah is added; the file has alpha",
        "--set metrics.loss: loss is added; the file has accuracy",
    )
    assert not any("is added" in note for note in read(GOOD, "parameters.alpha=0..1", "stop.time=1h").notes)


def test_a_parameter_in_short_and_a_list_are_set_as_a_whole_whatever_dots_are_in_their_names() -> None:
    for override in ("parameters.optim.lr.max=2", "parameters.optim.0=rmsprop"):
        (problem,) = problems(DOTS, [override])
        assert "has the short form in the file (set it as a whole)" in problem


def test_a_metric_that_the_file_says_in_a_word_gets_other_keys_beside_its_goal() -> None:
    text = changed("  accuracy: maximize", "  val.loss: minimize\n  accuracy: maximize")
    overrides = ("metrics.val.loss.constraint=<= 20", "metrics.val.loss.take=best", "metrics.accuracy.goal=minimize")
    loss, accuracy = read(text, *overrides).specification.metrics
    assert (loss.goal, loss.optimized, loss.limit, loss.take) == ("minimize", True, Limit.parse("<= 20"), "best")
    assert (accuracy.name, accuracy.goal) == ("accuracy", "minimize")


def test_null_takes_a_key_away() -> None:
    assert read(with_lines("timeout: 5m"), "timeout=null").specification.timeout is None
    assert list(read(DOTS, "parameters.optim=null").specification.space.by_name) == ["optim.lr", "deep.x"]


@pytest.mark.parametrize(
    "key", ["checkpoint.every", "retry.oom", "early_stopping.grace", "keep.limit", "timeout", "stop.time", "env.A.B"]
)
def test_null_changes_nothing_where_there_is_no_such_key(key: str) -> None:
    assert read(GOOD, f"{key}=null").specification == read(GOOD).specification


def test_an_entry_of_a_list_is_named_by_its_number() -> None:
    text = with_lines("try_first: [{alpha: 0.1}, {alpha: 0.01}]")
    assert read(text, "try_first.1.alpha=0.02").specification.try_first == ({"alpha": 0.1}, {"alpha": 0.02})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("budget=0", "--set budget: budget: found 0, expected an integer of at least 1"),
        ("budget", "--set budget: not of the form KEY=VALUE (for example --set budget=10 or --set stop.time=1h)"),
        ("=4", "--set : not of the form KEY=VALUE (for example --set budget=10 or --set stop.time=1h)"),
        ("a..b=4", "--set a..b: not of the form KEY=VALUE (for example --set budget=10 or --set stop.time=1h)"),
        ("budget=", "--set budget: budget: has no value, expected an integer of at least 1"),
        ("budget=[1", "--set budget: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("buget=1", "--set buget: buget: unknown key (did you mean budget?)"),
        ("buget=null", "--set buget: buget: unknown key (did you mean budget?)"),
        ("buget.x=null", "--set buget.x: buget: unknown key (did you mean budget?)"),
        ("budget.x=1", "--set budget.x: budget: not a mapping in the file (set it as a whole)"),
        (
            "parameters.alpha.values=[1, 2]",
            "--set parameters.alpha.values: parameters.alpha: has the short form in the file (set it as a whole)",
        ),
        (
            "parameters.alpha.log=null",
            "--set parameters.alpha.log: parameters.alpha: has the short form in the file (set it as a whole)",
        ),
        (
            "try_first.3.x=1",
            ("--set try_first.3.x: try_first: is a list of 1 in the file (use the index of an entry, from 0)"),
        ),
        ("budget=null", "experiment.yml:1:1: budget: is missing (set the number of trials, for example budget: 40)"),
        (
            "parameters.alpha=5..2",
            ("--set parameters.alpha: parameters.alpha: the minimum 5 must be less than the maximum 2"),
        ),
    ],
)
def test_a_mistake_names_the_option(override: str, message: str) -> None:
    assert problems(with_lines("try_first: [{alpha: 0.1}]"), [override])[0] == message


def test_an_alias_in_the_file_is_changed_in_one_place_only() -> None:
    text = with_lines("env: &x {A: '1'}\nlabels: *x")
    specification = read(text, "env.A=2").specification
    assert (specification.env, specification.labels) == ({"A": "2"}, {"A": "1"})
