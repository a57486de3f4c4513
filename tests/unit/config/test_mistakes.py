"""Each mistake gets its place, what was found, what is allowed, and what was perhaps meant."""

from __future__ import annotations

import pytest

from tests.unit.config.samples import ALPHA, GOOD, changed, problems, with_lines

RANGE = "a range such as 2..8, 0.0..1.0, 1e-6..0.1 log or 0..1 step 0.1"
ENGINE_WORDS = "auto, gp, tpe, cma, evolution, swarm, random, sobol, halton, latin or grid"
ALLOWED_INTEGER = "an integer from 1 to 1,000,000,000"
F = "experiment.yml:"


def alpha(spelling: str) -> str:
    return changed(ALPHA, spelling)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (changed("budget: 40", "budget: 0"), "7:9: budget: found 0, expected an integer of at least 1"),
        (changed("budget: 40", "budget: many"), "7:9: budget: found 'many', expected an integer of at least 1"),
        (changed("budget: 40", "budget: 1.5"), "7:9: budget: found 1.5, expected an integer of at least 1"),
        (changed("budget: 40", "budget: .nan"), "7:9: budget: found .nan, expected an integer of at least 1"),
        (changed("budget: 40", "budget: '40'"), "7:9: budget: found '40', expected an integer of at least 1"),
        (changed("budget: 40", "budget: true"), "7:9: budget: found true, expected an integer of at least 1"),
        (changed("budget: 40", "budget: [4]"), "7:9: budget: found a list, expected an integer of at least 1"),
        (changed("budget: 40", "budget:"), "7:1: budget: has no value, expected an integer of at least 1"),
        (changed("budget: 40", "budgett: 40"), "7:1: budgett: unknown key (did you mean budget?)"),
        (changed("budget: 40", "n_trials: 40"), "7:1: n_trials: unknown key (did you mean budget?)"),
        (changed("budget: 40\n", ""), "1:1: budget: is missing (set the number of trials, for example budget: 40)"),
        (with_lines("budget: 4"), "8:1: budget: duplicate key (first on line 7) (remove one of them)"),
        (with_lines("Budget: 4"), "8:1: Budget: unknown key (did you mean budget?)"),
        (
            with_lines("folds: 0"),
            "8:8: folds: found 0, expected an integer from 1 to 1,000",
        ),
        (
            with_lines("stop: {target: 1e150}"),
            "8:16: stop.target: found 1e150, expected a number from -1e+100 to 1e+100",
        ),
        (
            with_lines("folds: {prune_after: 1}"),
            "8:8: folds.count: is missing (expected an integer from 1 to 1,000)",
        ),
        (
            with_lines("folds: {count: 3, prune_after: 3}"),
            "8:32: folds.prune_after: 3 of 3 folds leave no fold to skip (write a number from 1 to 2, or remove it)",
        ),
        (
            with_lines("folds: {count: 1, prune_after: 1}"),
            "8:32: folds.prune_after: 1 of 1 fold leaves no fold to skip (remove it)",
        ),
        (
            with_lines("labels: {orchestune.dev/test: 1}"),
            (
                "8:10: labels.orchestune.dev/test: 'orchestune.dev/test' is not a valid name for a label; use"
                " letters, digits"
                " and _ . / -, and no prefix orchestune.dev/"
            ),
        ),
        (with_lines("nodes: 2"), "8:1: nodes: not supported in this version (remove it)"),
        (
            with_lines("stop: {futile: 1}"),
            "8:16: stop.futile: found 1, expected a mapping with below, above, after",
        ),
        (
            with_lines("stop: {futile: {after: 3}}"),
            (
                "8:16: stop.futile: needs one of `below` and `above` (use `below` for a metric to maximize,"
                " `above` for one"
                " to minimize)"
            ),
        ),
        (
            with_lines("stop: {futile: {above: 1, after: 3}}"),
            ("8:16: stop.futile: accuracy is maximized, so the limit must be `below` (write `below`)"),
        ),
        (
            with_lines("early_stopping: ahsa"),
            (
                "8:17: early_stopping: found 'ahsa', expected asha, median, hyperband, percentile or wilcoxon"
                " (did you mean asha?)"
            ),
        ),
        (
            with_lines("early_stopping: {type: median, reduction: 3}"),
            (
                "8:43: early_stopping.reduction: does not apply to the rule 'median' (options of median: interval,"
                " min_steps)"
            ),
        ),
        (
            with_lines("early_stopping: {type: asha, metric: acuracy}"),
            "8:38: early_stopping.metric: unknown metric 'acuracy' (did you mean accuracy?)",
        ),
        (
            with_lines("early_stopping: {type: asha, reduction: 1}"),
            "8:41: early_stopping.reduction: found 1, expected a number above 1",
        ),
        (
            with_lines("early_stopping: {type: asha, grace_period: 1}"),
            "8:30: early_stopping.grace_period: unknown key (did you mean min_steps?)",
        ),
        (with_lines("stop: {tim: 1h}"), "8:8: stop.tim: unknown key (did you mean time?)"),
        (with_lines("patience: 3"), "8:1: patience: unknown key (did you mean stop.patience?)"),
        (
            with_lines("stop: {zzz: 1h}"),
            "8:8: stop.zzz: unknown key (allowed keys: max_failures, target, time, patience, futile)",
        ),
        (
            changed("run: python model.py {args}\n", ""),
            "1:1: run: is missing (expected a command, as text or as a list of words)",
        ),
        (
            changed("metrics:\n  accuracy: maximize\n", ""),
            "1:1: metrics: is missing (expected a mapping from names to maximize or minimize)",
        ),
        (
            changed(f"parameters:\n  alpha: {ALPHA}\n", "").replace("{args}", ""),
            "1:1: parameters: is missing (expected a mapping from names to ranges or lists of values)",
        ),
        (
            changed("run: python model.py {args}", "run: []"),
            "2:6: run: found an empty list, expected a command, as text or as a list of words",
        ),
        (
            changed("run: python model.py {args}", "run: 5"),
            "2:6: run: found 5, expected a command, as text or as a list of words",
        ),
        (
            changed("run: python model.py {args}", "run: [python, {args}]"),
            "2:15: run[1]: found a mapping, expected a word of the command (put quotes around it: '{args}')",
        ),
        (changed("run: python model.py {args}", "run: ['', x]"), "2:7: run[0]: found '', expected a program"),
        (
            changed("{args}", "{alhpa}"),
            "2:6: run: unknown placeholder '{alhpa}' (did you mean alpha?)",
        ),
        (
            changed("run: python model.py {args}", "run: 'a `b {alpha}`'"),
            "2:6: run: the placeholder '{alpha}' is within `…`; write $(…) instead",
        ),
        (
            changed("{args}", "{arg}"),
            "2:6: run: unknown placeholder '{arg}' (did you mean args?)",
        ),
        (
            changed("{args}", "| awk '{print}'"),
            ("2:6: run: unknown placeholder '{print}' (for literal braces write {{print}})"),
        ),
        (
            changed("name: SGD", "name: 'a\tb'"),
            ("1:7: name: found 'a\\tb', expected a name of at most 200 characters on one line"),
        ),
        (with_lines("seed: -1"), "8:7: seed: found -1, expected an integer of at least 0"),
        (with_lines("parallelism: 0"), "8:14: parallelism: found 0, expected an integer from 1 to 100,000"),
        (with_lines("retry: -1"), "8:8: retry: found -1, expected an integer from 0 to 100"),
        (
            with_lines("retry: {}"),
            (
                "8:8: retry: found an empty mapping, expected an integer from 0 to 100,"
                " or a mapping with attempts, oom or memory_factor"
            ),
        ),
        (
            with_lines("retry: {memory_factor: 1}"),
            "8:24: retry.memory_factor: found 1, expected a number above 1, at most 100",
        ),
        (alpha("0...1"), f"4:10: parameters.alpha: found '0...1', expected {RANGE} (a range has two dots)"),
        (with_lines("priority: high"), "8:11: priority: found 'high', expected an integer from -1,000 to 1,000"),
        (
            with_lines("timeout: 5x"),
            "8:10: timeout: found '5x', expected a duration such as 30s, 5m, 1h30m or 2d",
        ),
        (
            with_lines("timeout: 0"),
            "8:10: timeout: found 0, expected a duration such as 30s, 5m, 1h30m or 2d",
        ),
        (
            with_lines("engine: optuna"),
            f"8:9: engine: found 'optuna', expected {ENGINE_WORDS} (did you mean tpe?)",
        ),
        (
            with_lines("engine: {name: sobl}"),
            (f"8:16: engine.name: found 'sobl', expected {ENGINE_WORDS} (did you mean sobol?)"),
        ),
        (
            with_lines("engine: {name: tpe, starup: 3}"),
            "8:21: engine.starup: unknown option of the engine 'tpe' (did you mean startup?)",
        ),
        (
            with_lines("engine: {name: gp, x: [.inf]}"),
            "8:20: engine.x: unknown option of the engine 'gp' (options of gp: startup, history)",
        ),
        (
            with_lines("engine: {name: random, x: 1}"),
            "8:24: engine.x: unknown option of the engine 'random' (random has no options)",
        ),
        (
            with_lines("engine: {name: tpe, history: 3}"),
            "8:30: engine.history: found 3, expected an integer from 50 to 5,000",
        ),
        (changed("budget: 40", "budget: 99999999999"), f"7:9: budget: found 99999999999, expected {ALLOWED_INTEGER}"),
        (with_lines("labels: {a: [b]}"), "8:13: labels.a: found a list, expected text of at most 1000 characters"),
        (
            with_lines("code: {limit: 0}"),
            ("8:15: code.limit: size out of range (expected more than 0 bytes and less than 8 EiB)"),
        ),
        (
            with_lines("keep: [/etc/passwd]"),
            "8:8: keep[0]: must be inside the trial's folder (write a relative path without ..)",
        ),
        (
            with_lines("keep: [ok/../../x]"),
            "8:8: keep[0]: must be inside the trial's folder (write a relative path without ..)",
        ),
        (
            with_lines("keep: ['**.pt']"),
            "8:8: keep[0]: `**` must be a path component of its own (write `**/*.pt`)",
        ),
        (
            with_lines("keep: 'out**/x'"),
            "8:7: keep: `**` must be a path component of its own (write `out*/**/x`)",
        ),
        (
            with_lines("keep: {keep_best: 3}"),
            ("8:7: keep.patterns: is missing (expected a pattern or a list of patterns)"),
        ),
        (
            with_lines("keep: {patterns: [], keep_best: 3}"),
            "8:18: keep.patterns: found an empty list, expected a list with at least one pattern",
        ),
        (with_lines("keep: {files: x}"), "8:8: keep.files: unknown key (did you mean patterns?)"),
        (
            with_lines("keep: {patterns: x, best: 1, keep_best: 2}"),
            ("8:7: keep: has both `keep_best` and `best` (remove one: they mean the same)"),
        ),
        (
            with_lines("checkpoint: {every: never}"),
            "8:21: checkpoint.every: found 'never', expected a duration such as 30s, 5m, 1h30m or 2d",
        ),
        (
            with_lines("checkpoint: yes"),
            "8:13: checkpoint: found 'yes', expected true, or a duration such as 5m",
        ),
        (
            with_lines("resources: {cpu: none}"),
            "8:18: resources.cpu: found 'none', expected a number of cores such as 2, 0.5 or 500m",
        ),
        (
            with_lines("resources: {memory: lots}"),
            "8:21: resources.memory: found 'lots', expected an amount of memory such as 512Mi, 2Gi or 4G",
        ),
        (
            with_lines("resources: {memory: 2}"),
            "8:21: resources.memory: too little memory: 2 bytes (expected at least 1Mi, such as 512Mi or 2Gi)",
        ),
        (
            with_lines("resources: {gpu: 1.5}"),
            (
                "8:18: resources.gpu: found 1.5, expected an integer number of GPUs, or a fraction of one from 0.01"
                " to 0.99"
            ),
        ),
        (
            with_lines("resources: {gpu: .inf}"),
            (
                "8:18: resources.gpu: found .inf, expected an integer number of GPUs, or a fraction of one from 0.01"
                " to 0.99"
            ),
        ),
        (
            with_lines("resources: {gpu: -.inf}"),
            (
                "8:18: resources.gpu: found -.inf, expected an integer number of GPUs, or a fraction of one from 0.01"
                " to 0.99"
            ),
        ),
        (
            with_lines("resources: {gpu: {count: 2, model: a100}}"),
            "8:29: resources.gpu.model: unknown key (did you mean type?)",
        ),
        (
            with_lines("resources: {cpu: 0.5, pin: true}"),
            "8:28: resources.pin: needs an integer `cpu`, which is 0.5 (write `cpu: 1`, or another integer)",
        ),
        (with_lines("resources: {gpus: 1}"), "8:13: resources.gpus: unknown key (did you mean gpu?)"),
        (
            with_lines("try_first: [{alpha: 5}]"),
            "8:21: try_first[0].alpha: out of range: 5 (expected 1e-06..0.1)",
        ),
        (
            with_lines("try_first: [{alpha: null}]"),
            "8:21: try_first[0].alpha: has no value, expected text, a number, true or false",
        ),
        (
            with_lines("try_first: [{}]"),
            "8:13: try_first[0]: alpha has no value (add one of its range, such as `alpha: 0.0003162`)",
        ),
        (
            with_lines("try_first: [{alpha: 0.01, alpa: 1}]"),
            "8:33: try_first[0].alpa: is not a parameter of this experiment (did you mean alpha?)",
        ),
        (
            changed("budget: 40", "engine: grid"),
            (
                "4:10: parameters.alpha: the grid engine needs a finite number of values (give it a step, or list the"
                " values)"
            ),
        ),
        (
            changed("budget: 40", "engine: grid").replace(ALPHA, "1..9000000000"),
            (
                "1:1: budget: is missing, and the grid is too large to be the default (more than 1,000,000,000"
                " configurations)"
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_is_allowed(text: str, message: str) -> None:
    assert problems(text) == [F + message]


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("8..2", "4:10: parameters.alpha: the minimum 8 must be less than the maximum 2"),
        ("2..2", "4:10: parameters.alpha: the minimum 2 must be less than the maximum 2"),
        ("-1..2 log", "4:10: parameters.alpha: a log scale needs positive bounds, the minimum is -1"),
        ("0..2 log", "4:10: parameters.alpha: a log scale needs positive bounds, the minimum is 0"),
        ("1..2 step 5", "4:10: parameters.alpha: the step 5 must be positive and no larger than the range"),
        ("1..2 step 0", "4:10: parameters.alpha: the step 0 must be positive and no larger than the range"),
        ("[]", "4:10: parameters.alpha: found an empty list, expected a list with at least one value"),
        ("{}", "4:10: parameters.alpha: needs `min` and `max` (or `values`, or type: bool)"),
        ("", f"4:3: parameters.alpha: has no value, expected {RANGE}, a list of values, bool, or a mapping"),
        ("5", f"4:10: parameters.alpha: found 5, expected {RANGE}, or a list of values (for a constant write [5])"),
        ("abc", f"4:10: parameters.alpha: found 'abc', expected {RANGE}, a list of values, or bool"),
        (
            "boolean",
            (
                f"4:10: parameters.alpha: found 'boolean', expected {RANGE}, a list of values, or bool"
                " (did you mean bool?)"
            ),
        ),
        ("1..x", f"4:10: parameters.alpha: found 'x' in the range '1..x', expected {RANGE}"),
        ("1.. .nan", f"4:10: parameters.alpha: found '.nan' in the range '1.. .nan', expected {RANGE}"),
        (
            "1..1e200",
            ("4:10: parameters.alpha: found '1e200' in the range '1..1e200', expected a number from -1e+100 to 1e+100"),
        ),
        (
            "1..5 lgo",
            (
                "4:10: parameters.alpha: found 'lgo' after the range"
                ", expected log, int, float or step N (did you mean log?)"
            ),
        ),
        (
            "1..5 int log float",
            (
                "4:10: parameters.alpha: found '1..5 int log float', where int and float exclude each other"
                " (remove one of them)"
            ),
        ),
        (
            "1..5 step 1 step 2",
            "4:10: parameters.alpha: found '1..5 step 1 step 2', where step is repeated (remove one of them)",
        ),
        (
            "1..5 step",
            (
                "4:10: parameters.alpha: found 'step' after the range"
                ", expected log, int, float or step N (did you mean step?)"
            ),
        ),
        (
            "0..1e100 step 1e-9",
            ("4:10: parameters.alpha: the step 1e-09 gives more than 1,000,000,000 values (choose a larger step)"),
        ),
        ("[a, b, a]", "4:10: parameters.alpha: lists 'a' twice"),
        ("[true, 1, True]", "4:10: parameters.alpha: lists true twice"),
        ("[2, 1, 2.0, 2]", "4:10: parameters.alpha: lists 2 more than once"),
        ("[a, .nan]", "4:14: parameters.alpha[1]: found .nan, expected a finite number"),
        (
            f"[a, {'x' * 1001}]",
            f"4:14: parameters.alpha[1]: found '{'x' * 57}...', expected text of at most 1,000 characters",
        ),
        ("[a, null]", "4:14: parameters.alpha[1]: has no value, expected text, a number, true or false"),
        ("[a, [b]]", "4:14: parameters.alpha[1]: found a list, expected text, a number, true or false"),
        (
            "{type: double, min: 0, max: 1}",
            (
                "4:17: parameters.alpha.type: found 'double', expected float, int, categorical or bool"
                " (did you mean float?)"
            ),
        ),
        (
            "{type: int, min: 0, max: 1.5}",
            (
                "4:10: parameters.alpha: an int needs integer bounds and an integer step (write type: float, or"
                " integers)"
            ),
        ),
        ("{type: float, min: 0}", "4:10: parameters.alpha: needs `max` (or `values`, or type: bool)"),
        ("{type: float, min: 0, max: .inf}", "4:37: parameters.alpha.max: found .inf, expected a finite number"),
        ("{type: float, min: a, max: 1}", "4:29: parameters.alpha.min: found 'a', expected a finite number"),
        (
            "{type: float, values: [1, 2]}",
            ("4:10: parameters.alpha: has type float and a list of values (remove `type`: the list is enough)"),
        ),
        ("{type: categorical}", "4:10: parameters.alpha: a categorical parameter needs `values`"),
        ("{type: bool, min: 0, max: 1}", "4:10: parameters.alpha: a parameter of type bool cannot have `min` or `max`"),
        ("{values: [1], log: true}", "4:10: parameters.alpha: a parameter of type categorical cannot have `log`"),
        (
            "{values: [1], choices: [2]}",
            ("4:10: parameters.alpha: has both `values` and `choices` (remove one: they mean the same)"),
        ),
        ("{min: 0.5, max: 1, wen: {}}", "4:29: parameters.alpha.wen: unknown key (did you mean when?)"),
        (
            "{min: 0.5, max: 1, when: {}}",
            (
                "4:35: parameters.alpha.when: found an empty mapping, expected a mapping from"
                " another parameter to its value or a list of values"
            ),
        ),
        (
            "{min: 0.5, max: 1, when: {beta: 2}}\n  bet: 1..2",
            "4:36: parameters.alpha.when: unknown parameter 'beta' (did you mean bet?)",
        ),
        (
            "{min: 0.5, max: 1, when: {beta: 7}}\n  beta: 1..2",
            "4:10: parameters.alpha: `when` can never hold: out of range: 7 (expected 1..2)",
        ),
        (
            "{min: 0.5, max: 1, when: {beta: 0.9}}\n  beta: 0.0..1.0",
            (
                "4:42: parameters.alpha.when.beta: beta is continuous on 0..1, so it never equals 0.9"
                " (give beta a step, list its values, or use one of its bounds)"
            ),
        ),
        (
            "{min: 0.5, max: 1, when: {beta: [0.0, 1e-3, 1]}}\n  beta: 0.0..1.0",
            (
                "4:48: parameters.alpha.when.beta[1]: beta is continuous on 0..1, so it never equals 0.001"
                " (give beta a step, list its values, or use one of its bounds)"
            ),
        ),
        (
            "{values: [1], when: {beta: 1, gamma: false}}\n  beta: {values: [1], when: {gamma: true}}\n  gamma: bool",
            "4:30: parameters.alpha.when: `when` can never hold: beta applies only if gamma is true",
        ),
        (
            (
                "{min: 0.5, max: 1, when: {delta: x}}\n  delta: {choices: [x, y], when: {beta: 1, gamma: [1, 2]}}\n"
                "  beta: {min: 1, max: 3, when: {gamma: 3}}\n  gamma: 1..3"
            ),
            "5:34: parameters.delta.when: `when` can never hold: beta applies only if gamma is 3",
        ),
        (
            "{min: 0.5, max: 1, when: {alpha: 0.6}}",
            "4:10: parameters.alpha: conditions form a cycle: alpha → alpha",
        ),
    ],
)
def test_a_mistake_in_a_parameter_is_told_at_its_place(spelling: str, message: str) -> None:
    assert problems(alpha(spelling)) == [F + message]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            "a.b: 1..2\n  a_b: 1..2",
            "5:3: parameters.a_b: a_b and a.b would both set the variable ORCHESTUNE_PARAM_A_B (rename one of them)",
        ),
        (
            "args: 1..2",
            (
                "4:3: parameters.args: 'args' cannot be the name of a parameter: {args} in `run` is replaced by all"
                " parameters"
            ),
        ),
        (
            "1x: 1..2",
            (
                "4:3: parameters.1x: '1x' is not a valid name for a parameter; use ASCII letters, digits and"
                " _ . - /, a letter or _ first"
            ),
        ),
    ],
)
def test_names_that_cannot_be_told_apart_or_written_are_refused(names: str, message: str) -> None:
    assert problems(changed(f"alpha: {ALPHA}", names)) == [F + message]


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (
            "accuracy: max",
            "6:13: metrics.accuracy: found 'max', expected maximize or minimize (did you mean maximize?)",
        ),
        ("accuracy: {take: last}", "6:13: metrics.accuracy.goal: is missing (expected maximize or minimize)"),
        (
            "accuracy: {goal: maximize, take: mean}",
            "6:36: metrics.accuracy.take: found 'mean', expected last, best or mean:K (the mean of the last K values)",
        ),
        (
            "Loss: minimize\n  loss: minimize",
            ("7:3: metrics.loss: differs from Loss only in case (metric names are case-insensitive)"),
        ),
        (
            "Step: minimize",
            "6:3: metrics.Step: 'Step' cannot be the name of a metric: reports use this name for something else",
        ),
    ],
)
def test_a_mistake_in_a_metric_is_told_at_its_place(metric: str, message: str) -> None:
    assert problems(changed("accuracy: maximize", metric)) == [F + message]


def test_several_mistakes_are_reported_together_in_the_order_of_the_file() -> None:
    text = changed(ALPHA, "8..2").replace("maximize", "up").replace("budget: 40", "budgt: 0\nretry: x")
    assert problems(text) == [
        F + "4:10: parameters.alpha: the minimum 8 must be less than the maximum 2",
        F + "6:13: metrics.accuracy: found 'up', expected maximize or minimize (did you mean maximize?)",
        F + "7:1: budgt: unknown key (did you mean budget?)",
        F + "8:8: retry: found 'x', expected an integer from 0 to 100",
    ]


def test_a_configuration_to_try_is_looked_at_also_beside_one_that_is_none() -> None:
    assert problems(with_lines("try_first: [{z: 9, alpha: 0.01}, 5, {alpha: 7}]")) == [
        F + "8:17: try_first[0].z: is not a parameter of this experiment",
        F + "8:34: try_first[1]: found 5, expected a mapping from parameters to values",
        F + "8:45: try_first[2].alpha: out of range: 7 (expected 1e-06..0.1)",
    ]


def test_a_merge_key_is_told_as_what_yaml_does_not_have() -> None:
    text = with_lines("try_first:\n- &first {alpha: 0.01}\n- {<<: *first}\nstop: &stop {}\nretry: {<<: *stop}")
    message = (
        "merge keys are not supported (YAML 1.2 has none) (copy the keys here, or alias a whole value: `key: *name`)"
    )
    assert problems(text) == [F + f"10:4: try_first[1].<<: {message}", F + f"12:9: retry.<<: {message}"]


def test_a_cycle_of_conditions_is_told_once() -> None:
    text = alpha(
        "{min: 1, max: 5, when: {c: 2}}\n  b: {min: 1, max: 5, when: {alpha: 2}}\n  c: {min: 1, max: 5, when: {b: 2}}"
    )
    assert problems(text) == [F + "4:10: parameters.alpha: conditions form a cycle: alpha → c → b → alpha"]


def test_a_wrong_parameter_causes_no_second_mistake_where_others_refer_to_it() -> None:
    text = (
        alpha("oops\n  b: {min: 1, max: 5, when: {alpha: 2}}").replace("{args}", "{alpha}")
        + "try_first: [{alpha: 1}]\n"
    )
    assert len(problems(text)) == 1


def test_thousands_of_mistakes_are_cut_short() -> None:
    messages = problems(GOOD + "".join(f"key{index}: 1\n" for index in range(3000)))
    assert len(messages) == 21
    assert messages[-1] == "… and 2,980 more"


def test_many_parameters_with_several_parents_each_are_checked_at_once() -> None:
    lines = ["p0: 0..5", "p1: 0..5"]
    lines += [f"p{i}: {{min: 0, max: 5, when: {{p{i - 1}: 1, p{i - 2}: [1, 2]}}}}" for i in range(2, 200)]
    assert problems(changed(f"alpha: {ALPHA}", "\n  ".join(lines))) == []
