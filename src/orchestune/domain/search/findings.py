"""Findings about a search as text for users. Each gives its evidence, such as the number of trials; none is a proof."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter, Value, token
from orchestune.domain.search.space import Space, key
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric, feasible, mean_of, objectives, pareto_front
from orchestune.domain.words import plural

MIN_TRIALS = 10
"""minimum number of trials for a finding about a parameter"""
_MIN_CORRELATION = 0.35
"""minimum absolute rank correlation for a finding"""
_BOUND_FRACTION = 0.05
"""fraction of a range, on the parameter's scale, that counts as near a bound"""
_MIN_AFFECTED = 3
"""minimum number of affected trials for a finding"""
_SIGNIFICANCE = 0.01
"""significance level: effects with a larger p-value are not reported"""


@dataclass(frozen=True)
class Finding:
    """One finding; `parameter` is None if it is about the search as a whole."""

    code: str
    message: str
    parameter: str | None = None


@dataclass(frozen=True)
class SearchFacts:
    """Facts about all trials of a search, if only an even sample of them is analysed."""

    count: int
    """number of finished trials"""
    best: Mapping[int, Observation]
    """the best trial, or those of the Pareto front, keyed by position in the order in which trials finished"""
    repeated: int
    """number of trials whose configuration an earlier trial had"""


def findings(
    space: Space,
    metric: Metric,
    history: Sequence[Observation],
    metrics: Sequence[Metric] = (),
    folds: int = 1,
    whole: SearchFacts | None = None,
) -> list[Finding]:
    """Return findings about the trials of `history` (in the order in which they finished), most useful first.

    `whole` describes all trials if `history` is a sample.

    The best trials are chosen among those that satisfy every limit of `metrics`. Progress is reported for the Pareto
    front if several of these have a goal, whichever `metric` the other findings are about, and for the first that has
    one if `metric` has none. Values are means over `folds` folds.
    """
    done = [trial for trial in history if _value(metric, trial) is not None]
    feasible_trials = [trial for trial in done if feasible(metrics, trial.metrics)]
    goal = metric if metric.optimized else next(iter(objectives(metrics)), metric)
    whole = whole or SearchFacts(len(history), dict(enumerate(history, 1)), _repeated(history))
    best = {rank: trial for rank, trial in sorted(whole.best.items()) if _good(goal, metrics, trial)}
    best_numbers = {trial.number for trial in best.values()}
    good = [*best.values(), *(s for s in history if s.number not in best_numbers and _good(goal, metrics, s))]
    report = [*_progress(goal, metrics, best, whole.count), *_ties(goal, good, folds)] if best and len(good) > 1 else []
    for parameter in space.parameters:
        having = [trial for trial in done if parameter.name in trial.parameters]
        report += _edge(parameter, metric, [trial for trial in feasible_trials if parameter.name in trial.parameters])
        report += _direction(parameter, metric, having)
        report += _failures(parameter, history)
    return [*report, *_duplicates(whole.repeated), *_selection(len(history), whole.count)]


def _value(metric: Metric, trial: Observation) -> float | None:
    value = trial.metrics.get(metric.name)
    return value if trial.state is TrialState.COMPLETED and value is not None and math.isfinite(value) else None


def _good(metric: Metric, metrics: Sequence[Metric], trial: Observation) -> bool:
    return _value(metric, trial) is not None and feasible(metrics, trial.metrics)


def _loss(metric: Metric, trial: Observation) -> float:
    value = trial.metrics[metric.name]
    return value if metric.goal == "minimize" else -value


def _progress(
    metric: Metric, metrics: Sequence[Metric], done: Mapping[int, Observation], count: int
) -> Iterator[Finding]:
    several = len(objectives(metrics)) > 1
    values = [(trial.number, trial.metrics) for trial in done.values()]
    front = set(pareto_front(metrics, values)) if several else set()
    if front:
        rank = max(rank for rank, trial in done.items() if trial.number in front)
        size = f"{len(front)} trials" if len(front) > 1 else "one trial"
        summary = f"the last trial to join the Pareto front, now of {size}, was trial {done[rank].number}"
    else:
        rank = min(done, key=lambda rank: _loss(metric, done[rank]))
        value = done[rank].metrics[metric.name]
        summary = f"the best {metric.name}, {value:.6g}, came from trial {done[rank].number}"
    if count >= MIN_TRIALS and count - rank >= count / 2:
        text = f"{summary}, and none of the {count - rank} trials that finished after it was better"
        yield Finding("converged", text)
    elif count >= MIN_TRIALS and count - rank <= count / 10:
        yield Finding("improving", f"{summary}, {_ordinal(rank)} of {count} to finish: the search is still improving")
    else:
        yield Finding("best", f"{summary}, {_ordinal(rank)} of {count} to finish")


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"the {number}{ending}"


def _ties(metric: Metric, done: Sequence[Observation], folds: int) -> Iterator[Finding]:
    best = min(done, key=lambda trial: _loss(metric, trial))
    spread = best.stddev.get(metric.name)
    if not spread:
        return
    near = sum(_loss(metric, trial) <= _loss(metric, best) + spread for trial in done) - 1
    if near:
        noise = "standard deviation" if folds == 1 else f"standard error of {folds} folds"
        text = f"{_trials(near)} within one {noise} ({spread:.3g}) of the best: choose the cheapest of them"
        yield Finding("ties", text)


def _trials(count: int) -> str:
    return f"{count} other trial is" if count == 1 else f"{count} other trials are"


def _edge(parameter: Parameter, metric: Metric, done: Sequence[Observation]) -> Iterator[Finding]:
    if not parameter.numeric or parameter.count() <= 2 * MIN_TRIALS or len(done) < MIN_TRIALS:
        return
    ordered = sorted(done, key=lambda trial: _loss(metric, trial))
    last = _loss(metric, ordered[max(3, len(done) // 10) - 1])
    as_good = [trial for trial in ordered if _loss(metric, trial) <= last]
    top = as_good if len(as_good) < len(done) else [trial for trial in ordered if _loss(metric, trial) < last]
    positions = [_position_in_range(parameter, trial.parameters[parameter.name]) for trial in top]
    for name, bound, distances in (
        ("lower", parameter.low, positions),
        ("upper", parameter.high, [1 - position for position in positions]),
    ):
        count = sum(distance <= _BOUND_FRACTION for distance in distances)
        if count >= _MIN_AFFECTED and count * 2 > len(top) and distances[0] <= _BOUND_FRACTION:
            text = f"{count} of the best {len(top)} trials have a value next to the {name} bound {bound:g}"
            yield Finding("at_bound", f"{text}: a wider range may be better", parameter.name)


def _position_in_range(parameter: Parameter, value: Value) -> float:
    """Return the position of a number in its range, from 0 to 1, on the parameter's scale."""
    low, high, at = float(parameter.low or 0), float(parameter.high or 0), float(value)
    if parameter.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.0


def _direction(parameter: Parameter, metric: Metric, done: Sequence[Observation]) -> Iterator[Finding]:
    if len(done) < MIN_TRIALS:
        return
    if not parameter.numeric:
        yield from _choices(parameter, metric, done)
        return
    losses = _ranks([_loss(metric, trial) for trial in done])
    values = _ranks([float(trial.parameters[parameter.name]) for trial in done])
    if len(set(losses)) < 2 or len(set(values)) < 2:
        return
    rank = statistics.correlation(values, losses)
    if abs(rank) >= max(_MIN_CORRELATION, _correlation_by_chance(len(done))):
        which = "larger" if rank < 0 else "smaller"
        text = f"{which} values went with a better {metric.name} (rank correlation {abs(rank):.2f}, {len(done)} trials)"
        yield Finding("direction", text, parameter.name)


def _correlation_by_chance(count: int) -> float:
    """Return the absolute rank correlation that `count` trials reach by chance with probability `_SIGNIFICANCE`.

    Fisher's transformation, for ranks (Fieller, Hartley and Pearson, 1957).
    """
    return math.tanh(NormalDist().inv_cdf(1 - _SIGNIFICANCE / 2) * math.sqrt(1.06 / (count - 3)))


def _choices(parameter: Parameter, metric: Metric, done: Sequence[Observation]) -> Iterator[Finding]:
    by_choice: dict[tuple[bool, object], list[float]] = {token(choice): [] for choice in parameter.choices}
    for trial in done:
        by_choice.setdefault(token(trial.parameters[parameter.name]), []).append(trial.metrics[metric.name])
    medians = {choice: _median(values) for choice, values in by_choice.items() if len(values) >= _MIN_AFFECTED}
    if len(medians) < 2:
        return
    ordered = sorted(medians, key=lambda choice: medians[choice], reverse=metric.goal == "maximize")
    if medians[ordered[0]] == medians[ordered[-1]] or _same_by_chance([by_choice[choice] for choice in ordered]):
        return
    best = [choice for choice in ordered if medians[choice] == medians[ordered[0]]]
    counts = " and ".join(str(len(by_choice[choice])) for choice in best)
    others = ", ".join(
        f"{_word(choice[1])} {medians[choice]:.6g} ({len(by_choice[choice])})" for choice in ordered[len(best) :][:4]
    )
    which = " and ".join(_word(choice[1]) for choice in best) + (" have" if len(best) > 1 else " has")
    text = f"{which} the best median {metric.name}: {medians[ordered[0]]:.6g} ({counts} trials), then {others}"
    yield Finding("choice", text, parameter.name)


def _same_by_chance(groups: Sequence[Sequence[float]]) -> bool:
    """Return True if the differences between the groups are not significant at level `_SIGNIFICANCE`.

    Kruskal-Wallis test (1952), with the Wilson-Hilferty approximation (1931) of its distribution.
    """
    ranks = iter(_ranks([value for group in groups for value in group]))
    by_group = [[next(ranks) for _ in group] for group in groups]
    every = [rank for group in by_group for rank in group]
    within = math.fsum(len(group) * (statistics.fmean(group) - (len(every) + 1) / 2) ** 2 for group in by_group)
    freedom = len(groups) - 1
    apart = within / statistics.variance(every)
    usual = 2 / (9 * freedom)
    return (math.pow(apart / freedom, 1 / 3) - (1 - usual)) / math.sqrt(usual) < NormalDist().inv_cdf(1 - _SIGNIFICANCE)


def _median(values: Sequence[float]) -> float:
    """Return the median, without overflow for large values."""
    return mean_of((statistics.median_low(values), statistics.median_high(values)))


def _word(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _ranks(values: Sequence[float]) -> list[float]:
    """Return ranks from 1; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=lambda index: values[index])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for index in order[start:end]:
            ranks[index] = (start + 1 + end) / 2
        start = end
    return ranks


def _failures(parameter: Parameter, history: Sequence[Observation]) -> Iterator[Finding]:
    """Yield a finding if failures cluster in one choice (the most significant) or in one half of the range."""
    having = [trial for trial in history if parameter.name in trial.parameters]
    failed = [trial for trial in having if trial.state is TrialState.FAILED]
    if len(failed) < _MIN_AFFECTED or len(having) < MIN_TRIALS:
        return
    trials_by_region = Counter(_region(parameter, trial.parameters[parameter.name]) for trial in having)
    failures_by_region = Counter(_region(parameter, trial.parameters[parameter.name]) for trial in failed)
    chances = {
        region: _at_least(failures_by_region[region], len(failed), trials_by_region[region], len(having))
        for region in failures_by_region
    }
    region = min(chances, key=chances.__getitem__)
    if chances[region] <= _SIGNIFICANCE / (2 if parameter.numeric else len(parameter.choices)):
        words = f"it in the {region[1]} half of its range" if parameter.numeric else f"it at {_word(region[1])}"
        text = f"{failures_by_region[region]} of the {len(failed)} failed trials have {words}"
        yield Finding("failures", f"{text}; {trials_by_region[region]} of all {len(having)} have", parameter.name)


def _at_least(hits: int, count: int, in_region: int, total: int) -> float:
    """Return the probability that `count` trials drawn from `total` include at least `hits` of `in_region` trials.

    Fisher's exact test, one-sided.
    """

    def ways(chosen: int, among: int) -> float:
        return math.lgamma(among + 1) - math.lgamma(chosen + 1) - math.lgamma(among - chosen + 1)

    return math.fsum(
        math.exp(ways(k, in_region) + ways(count - k, total - in_region) - ways(count, total))
        for k in range(max(hits, count - total + in_region, 0), min(count, in_region) + 1)
    )


def _region(parameter: Parameter, value: Value) -> tuple[bool, object]:
    if not parameter.numeric:
        return token(value)
    return False, "lower" if _position_in_range(parameter, value) < 0.5 else "upper"


def _repeated(history: Sequence[Observation]) -> int:
    return len(history) - len({key(trial.parameters) for trial in history})


def _duplicates(repeated: int) -> Iterator[Finding]:
    if repeated:
        text = f"{plural(repeated, 'trial')} repeated the configuration of an earlier one"
        yield Finding("duplicates", f"{text}: is the space smaller than the budget?")


def _selection(looked_at: int, count: int) -> Iterator[Finding]:
    if looked_at < count:
        text = f"findings about ties and parameters are based on an even sample of {looked_at} of the {count} trials"
        yield Finding("selection", text)
