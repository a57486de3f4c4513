"""A file becomes a specification: every key in its spellings, defaults, and what is said without being wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from orchestune.config.experiment_file import load
from orchestune.domain.resources.resources import Resources
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.specification.code import CodeSettings
from orchestune.domain.specification.early_stopping import EarlyStopping
from orchestune.domain.specification.experiment import FutileTrials, Keep, Secret, Specification, StopRules
from orchestune.domain.specification.metrics import Metric
from orchestune.errors import BadInput
from tests.unit.config.samples import ALPHA, GOOD, changed, read, with_lines

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/experiment.yml"))


def specification(text: str) -> Specification:
    return read(text).specification


def test_a_small_file_has_the_documented_defaults() -> None:
    loaded = read(GOOD)
    assert loaded.notes == ()
    assert loaded.code == CodeSettings((), 200 * 2**20)
    settings = loaded.specification
    assert (settings.name, settings.run, settings.budget, settings.parallelism) == (
        "SGD",
        "python model.py {args}",
        40,
        1,
    )
    assert settings.space.parameters == (Parameter("alpha", "float", 1e-6, 0.1, log=True),)
    assert settings.metrics == (Metric("accuracy", "maximize"),)
    assert (settings.resources, settings.env, settings.secrets) == (Resources(), {}, ())
    assert (settings.timeout, settings.grace, settings.retries, settings.stop) == (None, 10.0, 0, StopRules())
    assert (settings.try_first, settings.keep, settings.checkpoint_every) == ((), Keep(), None)
    assert (settings.seed, settings.engine, settings.engine_options, settings.priority, settings.labels) == (
        0,
        "auto",
        {},
        0,
        {},
    )


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("2..8", Parameter("p", "int", 2, 8)),
        ("-3..3", Parameter("p", "int", -3, 3)),
        ("2.0..8", Parameter("p", "float", 2.0, 8.0)),
        ("0.0..1.0", Parameter("p", "float", 0.0, 1.0)),
        (".5..1.5", Parameter("p", "float", 0.5, 1.5)),
        ("1e2..1e4", Parameter("p", "float", 100.0, 10000.0)),
        ("1e-6..0.1 log", Parameter("p", "float", 1e-6, 0.1, log=True)),
        ("1e-6..0.1:log", Parameter("p", "float", 1e-6, 0.1, log=True)),
        ("16..512 log", Parameter("p", "int", 16, 512, log=True)),
        ("0..1 step 0.1", Parameter("p", "float", 0.0, 1.0, step=0.1)),
        ("32..256 step 32", Parameter("p", "int", 32, 256, step=32)),
        ("1585..1585.00004 step 0.00004", Parameter("p", "float", 1585.0, 1585.00004, step=0.00004)),
        ("16..512 log step 16", Parameter("p", "int", 16, 512, log=True, step=16)),
        ("'2 .. 8'", Parameter("p", "int", 2, 8)),
        ("[l1, l2]", Parameter("p", "categorical", choices=("l1", "l2"))),
        ("[16, 32.5, on, 'no', null_ish]", Parameter("p", "categorical", choices=(16, 32.5, "on", "no", "null_ish"))),
        ("[7]", Parameter("p", "categorical", choices=(7,))),
        ("[true, false]", Parameter("p", "bool", choices=(False, True))),
        ("bool", Parameter("p", "bool", choices=(False, True))),
        ("{type: bool}", Parameter("p", "bool", choices=(False, True))),
        ("{type: float, min: 0, max: 1}", Parameter("p", "float", 0.0, 1.0)),
        ("{type: int, min: 1e0, max: 8.0, step: 2}", Parameter("p", "int", 1, 8, step=2)),
        ("{min: 1, max: 9, log: true}", Parameter("p", "int", 1, 9, log=True)),
        ("{min: 1, max: 9.5}", Parameter("p", "float", 1.0, 9.5)),
        ("{type: categorical, values: [a, b]}", Parameter("p", "categorical", choices=("a", "b"))),
        ("{choices: [a, 2]}", Parameter("p", "categorical", choices=("a", 2))),
        ("{values: [true, false]}", Parameter("p", "bool", choices=(False, True))),
        ("{type: categorical, values: [true, false]}", Parameter("p", "categorical", choices=(True, False))),
    ],
)
def test_every_spelling_of_a_parameter_gives_its_dimension(spelling: str, expected: Parameter) -> None:
    text = changed(f"alpha: {ALPHA}", f"p: {spelling}")
    (dimension,) = specification(text).space.parameters
    assert dimension == expected
    assert [type(value) for value in (dimension.low, dimension.high, dimension.step, *dimension.choices)] == [
        type(value) for value in (expected.low, expected.high, expected.step, *expected.choices)
    ]


def test_conditions_may_have_parents_of_any_depth_in_any_order() -> None:
    text = changed(
        f"alpha: {ALPHA}",
        "degree: {type: int, min: 2, max: 4, when: {svm/kernel: poly, use-it: true}}\n"
        "  svm/kernel: {values: [rbf, poly, linear], when: {model: [svm, both]}}\n"
        "  use-it: {type: bool, when: {model: svm}}\n"
        "  model: [svm, forest, both]",
    )
    space = specification(text).space
    assert [parameter.name for parameter in space.parameters] == ["model", "svm/kernel", "use-it", "degree"]
    assert space.by_name["degree"].when == (("svm/kernel", ("poly",)), ("use-it", (True,)))
    assert space.by_name["svm/kernel"].when == (("model", ("svm", "both")),)


def test_everything_that_a_file_may_say_arrives() -> None:
    loaded = read(
        with_lines(
            "parallelism: 4\n"
            "resources: {cpu: 500m, memory: 2Gi, gpu: {count: 2}}\n"
            "env: {LEVEL: 0644, DEBUG: yes, EMPTY: '', FLAG: true}\n"
            "secrets: {A: env:B, C: {file: ~/c.txt}, D: {env: E}}\n"
            "timeout: 1h30m\n"
            "grace: 5\n"
            "retry: {attempts: 3, oom: 2, memory_factor: 2}\n"
            "stop: {max_failures: 10, target: 0.98, time: 2h, patience: 30, futile: {below: 0.6, after: 20}}\n"
            "early_stopping: {type: percentile, min_steps: 2, interval: 3, reduction: 4, grace: 1m}\n"
            "try_first: [{alpha: 1e-3}, {alpha: 0.1}]\n"
            "keep: {patterns: [best.pt, 'plots/*.png'], keep_best: 5, limit: 10Mi}\n"
            "checkpoint: {every: 5m}\n"
            "seed: 7\n"
            "engine: {name: tpe, startup: 5, candidates: 1e2}\n"
            "priority: -3\n"
            "labels: {team: vision, run: 3}\n"
            "code: {ignore: [data/, '*.ckpt'], limit: 1Gi}\n"
        )
    )
    settings = loaded.specification
    assert settings.parallelism == 4
    assert settings.resources == Resources(0.5, 2 * 2**30, 2)
    assert settings.env == {"LEVEL": "0644", "DEBUG": "yes", "EMPTY": "", "FLAG": "true"}
    assert settings.secrets == (Secret("A", "env:B"), Secret("C", "file:~/c.txt"), Secret("D", "env:E"))
    assert (settings.timeout, settings.grace, settings.retries) == (5400.0, 5.0, 3)
    assert (settings.oom_retries, settings.memory_factor) == (2, 2.0)
    assert settings.stop == StopRules(10, 0.98, 7200.0, 30, FutileTrials(0.6, 20, "below"))
    assert settings.early_stopping == EarlyStopping("percentile", None, 2, 3, 4, 60.0)
    assert settings.try_first == ({"alpha": 0.001}, {"alpha": 0.1})
    assert settings.keep == Keep(("best.pt", "plots/*.png"), 5, 10 * 2**20)
    assert settings.checkpoint_every == 300.0
    assert (settings.seed, settings.engine, settings.engine_options) == (7, "tpe", {"startup": 5, "candidates": 100})
    assert (settings.priority, settings.labels) == (-3, {"team": "vision", "run": "3"})
    assert loaded.code == CodeSettings(("data/", "*.ckpt"), 2**30)
    assert Specification.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ("retry: 2", "retries", 2),
        ("retry: 2", "oom_retries", 0),
        ("retry: {oom: 1}", "memory_factor", 1.5),
        ("retry: {oom: 1}", "oom_retries", 1),
        ("retry: {memory_factor: 2.5}", "oom_retries", 3),
        ("keep: best.pt", "keep", Keep(("best.pt",))),
        ("keep: [a, b/c]", "keep", Keep(("a", "b/c"))),
        ("keep: {patterns: x, best: 2}", "keep", Keep(("x",), 2)),
        ("checkpoint: 90s", "checkpoint_every", 90.0),
        ("checkpoint: true", "checkpoint_every", 300.0),
        ("checkpoint: false", "checkpoint_every", None),
        ("checkpoint: {}", "checkpoint_every", 300.0),
        ("secrets: [A, B]", "secrets", (Secret("A", "env:A"), Secret("B", "env:B"))),
        ("resources: {gpu: 1}", "resources", Resources(gpu=1)),
        ("timeout: 90", "timeout", 90.0),
        ("timeout: 1e3", "timeout", 1000.0),
    ],
)
def test_short_and_long_spellings_mean_the_same(line: str, key: str, expected: object) -> None:
    assert getattr(specification(with_lines(line)), key) == expected


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("minimize", Metric("m", "minimize")),
        ("{goal: maximize}", Metric("m", "maximize")),
        ("{goal: minimize, take: best, threshold: 0.5}", Metric("m", "minimize", "best", 0.5)),
        ("{goal: minimize, take: mean:5}", Metric("m", "minimize", "mean:5")),
    ],
)
def test_every_spelling_of_a_metric_is_read(spelling: str, expected: Metric) -> None:
    assert specification(changed("accuracy: maximize", f"m: {spelling}")).metrics == (expected,)


def test_names_of_metrics_may_have_slashes_dots_and_dashes_and_keep_their_order() -> None:
    metrics = specification(changed("accuracy: maximize", "val/loss: minimize\n  top-1.acc: maximize")).metrics
    assert [metric.name for metric in metrics] == ["val/loss", "top-1.acc"]


def test_a_command_may_be_a_list_and_its_numbers_stay_as_written() -> None:
    run = specification(changed("run: python model.py {args}", "run: [python, model.py, '{args}', --n, 1e3]")).run
    assert run == ("python", "model.py", "{args}", "--n", "1e3")


def test_words_of_a_command_may_be_empty_behind_the_first() -> None:
    run = specification(changed("run: python model.py {args}", "run: [prog, --suffix, '']")).run
    assert run == ("prog", "--suffix", "")


def test_braces_of_the_shell_and_doubled_braces_are_no_placeholders() -> None:
    text = changed("python model.py {args}", "x ${HOME} {alpha} {hydra} {{print}} && awk '{print $1}'")
    assert "{{print}}" in str(specification(text).run)


def test_numbers_of_try_first_take_the_type_of_their_parameter() -> None:
    text = changed(f"alpha: {ALPHA}", "n: 1..9\n  x: 0.0..9.0") + "try_first: [{n: 2.0, x: 3}]\n"
    (configuration,) = specification(text).try_first
    assert configuration == {"n": 2, "x": 3.0}
    assert (type(configuration["n"]), type(configuration["x"])) == (int, float)


def test_a_grid_without_a_budget_takes_its_size() -> None:
    text = changed(ALPHA, "0..1 step 0.1\n  b: [x, y]\n  c: {min: 1, max: 3, when: {b: x}}")
    assert specification(text.replace("budget: 40", "engine: grid")).budget == 11 * 3 + 11


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            changed(ALPHA, "0.0..1 step 0.25") + "engine: grid\n",
            "budget: 40 is more than the 5 configurations of the grid; 5 is used",
        ),
        (
            changed(ALPHA, "[a, b]"),
            "budget: 40 is more than the 2 configurations of the space; the experiment finishes when all have run",
        ),
        (
            changed(ALPHA, "[a]"),
            "budget: 40 is more than the one configuration of the space; the experiment finishes when all have run",
        ),
        (
            changed("budget: 40", "budget: 1") + "try_first: [{alpha: 0.01}, {alpha: 0.02}]\n",
            "try_first: 2 configurations are more than the budget of 1; the others run if the budget is raised",
        ),
        (with_lines("parallelism: 41"), "parallelism: 41 is more than the budget; 40 is used"),
        (
            changed(ALPHA, "0..1\n  b: 0.0..1"),
            "parameters.alpha: takes 0 or 1; for a number between them write 0.0..1.0 (type: float)",
        ),
    ],
)
def test_what_is_not_wrong_but_unexpected_is_noted(text: str, note: str) -> None:
    assert read(text).notes == (note,)


def test_what_is_to_be_tried_twice_leaves_nothing_of_a_grid_out(tmp_path: Path) -> None:
    text = changed(ALPHA, "1..3") + "try_first: [{alpha: 2}, {alpha: 2.0}]\n"
    assert specification(text.replace("budget: 40", "engine: grid")).budget == 4
    path = tmp_path / "experiment.yml"
    path.write_text(text + "engine: grid\n")
    loaded = load(path)
    assert loaded.specification.budget == 4
    assert loaded.notes == (
        "budget: 40 is more than the 3 configurations of the grid and the duplicates in try_first (1); 4 is used",
    )


def test_a_grid_is_clamped_to_its_size_and_parallelism_to_the_budget() -> None:
    settings = specification(changed(ALPHA, "[a, b, c]") + "engine: grid\nparallelism: 8\n")
    assert (settings.budget, settings.parallelism) == (3, 3)


def test_a_secret_that_the_shell_lacks_is_noted() -> None:
    loaded = read(with_lines("secrets: [THERE, MISSING]"), environ={"THERE": "value"})
    assert loaded.notes == ("secrets.MISSING: the variable MISSING is not set in this shell",)


def test_a_file_without_a_name_is_called_as_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my-project"
    folder.mkdir()
    (folder / "experiment.yml").write_text(changed("name: SGD\n", ""))
    loaded = load(folder / "experiment.yml")
    assert loaded.specification.name == "my-project"
    assert loaded.path == folder / "experiment.yml"
    (folder / "sub").mkdir()
    assert load(folder / "sub" / ".." / "experiment.yml").specification.name == "my-project"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_is_right_and_needs_no_note(path: Path) -> None:
    loaded = load(path)
    assert loaded.notes == ()
    assert Specification.from_json(loaded.specification.to_json()) == loaded.specification


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: caf\xe9\n", "{path}:1: not UTF-8 text: byte 0xe9 (save it as UTF-8)"),
        (b"\xff\xfen\x00a\x00", "{path}:1: not UTF-8 text: byte 0xff (save it as UTF-8)"),
        (
            b"#" * (2**20 + 5),
            ("{path}: too large for an experiment file: 1,048,581 bytes (maximum 1,048,576) (is this the right file?)"),
        ),
        (b"a: \x01", "{path}:1:4: invalid control character (expected printable text)"),
    ],
)
def test_a_file_that_is_no_text_or_too_large_gets_one_error(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "experiment.yml"
    path.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        load(path)
    assert str(caught.value) == message.format(path=path)


def test_a_file_of_100_megabytes_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yml"
    with path.open("wb") as file:
        file.truncate(100 * 10**6)
    with pytest.raises(BadInput, match=r": 100,000,000 bytes \(maximum 1,048,576\)"):
        load(path)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as missing:
        load(tmp_path / "experiment.yml")
    assert str(missing.value).endswith(
        "no such file (create one with `orchestune init SCRIPT`, or name another file with -f FILE)"
    )
    with pytest.raises(BadInput, match="cannot read the file: Is a directory"):
        load(tmp_path)


def test_what_is_no_file_has_no_folder_of_code(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (Path("-"), Path(os.devnull), pipe):
        with pytest.raises(BadInput, match="not a regular file"):
            load(path)


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load(path).specification.budget == 40


@pytest.mark.parametrize(
    ("listed", "noted"),
    [
        ("[3.10, 3.11]", ["3.10 is read as the number 3.1; quote it to keep the text, '3.10'"]),
        ("{values: [007, 8]}", ["007 is read as the number 7; quote it to keep the text, '007'"]),
        ("[1..2, a..b, 3]", ["1..2 is read as text inside a list; write a range without a list"]),
        ("['3.10', '007', 0.10, 1.0, 10, 0, 1e-3, 2.5]", []),
    ],
)
def test_a_listed_number_that_looks_like_a_name_is_noted_and_so_is_a_range(listed: str, noted: list[str]) -> None:
    notes = read(changed(ALPHA, listed)).notes
    assert [note.partition(": ")[2] for note in notes if re.search(" is read as (the number|text) ", note)] == noted
