"""Findings about a search, in plain words. Each gives its evidence, such as the number of trials; none is a proof."""

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

ENOUGH = 10
"""minimum number of trials for a finding about a parameter"""
_CLEAR = 0.35
"""minimum absolute rank correlation for a finding"""
_EDGE = 0.05
"""fraction of a range, on the parameter's scale, that counts as near a bound"""
_FEW = 3
"""minimum number of affected trials for a finding"""
_CHANCE = 0.01
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

    The best trials are chosen among those that keep every limit of `metrics`. Progress is reported for the Pareto
    front if several of these have a goal, whichever `metric` the other findings are about, and for the first that has
    one if `metric` has none. Values are means over `folds` folds.
    """
    done = [seen for seen in history if _value(metric, seen) is not None]
    kept = [seen for seen in done if feasible(metrics, seen.metrics)]
    goal = metric if metric.optimized else next(iter(objectives(metrics)), metric)
    whole = whole or SearchFacts(len(history), dict(enumerate(history, 1)), _repeated(history))
    best = {place: seen for place, seen in sorted(whole.best.items()) if _good(goal, metrics, seen)}
    known = {seen.number for seen in best.values()}
    good = [*best.values(), *(s for s in history if s.number not in known and _good(goal, metrics, s))]
    found = [*_progress(goal, metrics, best, whole.count), *_ties(goal, good, folds)] if best and len(good) > 1 else []
    for parameter in space.parameters:
        having = [seen for seen in done if parameter.name in seen.parameters]
        found += _edge(parameter, metric, [seen for seen in kept if parameter.name in seen.parameters])
        found += _direction(parameter, metric, having)
        found += _failures(parameter, history)
    return [*found, *_duplicates(whole.repeated), *_selection(len(history), whole.count)]


def _value(metric: Metric, seen: Observation) -> float | None:
    value = seen.metrics.get(metric.name)
    return value if seen.state is TrialState.COMPLETED and value is not None and math.isfinite(value) else None


def _good(metric: Metric, metrics: Sequence[Metric], seen: Observation) -> bool:
    return _value(metric, seen) is not None and feasible(metrics, seen.metrics)


def _loss(metric: Metric, seen: Observation) -> float:
    value = seen.metrics[metric.name]
    return value if metric.goal == "minimize" else -value


def _progress(
    metric: Metric, metrics: Sequence[Metric], done: Mapping[int, Observation], count: int
) -> Iterator[Finding]:
    several = len(objectives(metrics)) > 1
    values = [(seen.number, seen.metrics) for seen in done.values()]
    front = set(pareto_front(metrics, values)) if several else set()
    if front:
        place = max(place for place, seen in done.items() if seen.number in front)
        size = f"{len(front)} trials" if len(front) > 1 else "one trial"
        said = f"the last to come onto the Pareto front, of {size} now, was trial {done[place].number}"
    else:
        place = min(done, key=lambda place: _loss(metric, done[place]))
        value = done[place].metrics[metric.name]
        said = f"the best {metric.name}, {value:.6g}, came from trial {done[place].number}"
    if count >= ENOUGH and count - place >= count / 2:
        text = f"{said}, and the {count - place} trials that finished after it brought nothing better"
        yield Finding("converged", text)
    elif count >= ENOUGH and count - place <= count / 10:
        yield Finding("improving", f"{said}, {_th(place)} of {count} to finish: the search still finds better ones")
    else:
        yield Finding("best", f"{said}, {_th(place)} of {count} to finish")


def _th(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"the {number}{ending}"


def _ties(metric: Metric, done: Sequence[Observation], folds: int) -> Iterator[Finding]:
    best = min(done, key=lambda seen: _loss(metric, seen))
    spread = best.stddev.get(metric.name)
    if not spread:
        return
    near = sum(_loss(metric, seen) <= _loss(metric, best) + spread for seen in done) - 1
    if near:
        noise = "standard deviation" if folds == 1 else f"standard error of {folds} folds"
        text = f"{_trials(near)} within one {noise} ({spread:.3g}) of the best: take the cheapest of them"
        yield Finding("ties", text)


def _trials(count: int) -> str:
    return f"{count} other trial is" if count == 1 else f"{count} other trials are"


def _edge(parameter: Parameter, metric: Metric, done: Sequence[Observation]) -> Iterator[Finding]:
    if not parameter.numeric or parameter.count() <= 2 * ENOUGH or len(done) < ENOUGH:
        return
    ordered = sorted(done, key=lambda seen: _loss(metric, seen))
    last = _loss(metric, ordered[max(3, len(done) // 10) - 1])
    as_good = [seen for seen in ordered if _loss(metric, seen) <= last]
    top = as_good if len(as_good) < len(done) else [seen for seen in ordered if _loss(metric, seen) < last]
    places = [_place(parameter, seen.parameters[parameter.name]) for seen in top]
    for name, bound, distances in (
        ("lower", parameter.low, places),
        ("upper", parameter.high, [1 - place for place in places]),
    ):
        count = sum(distance <= _EDGE for distance in distances)
        if count >= _FEW and count * 2 > len(top) and distances[0] <= _EDGE:
            text = f"{count} of the best {len(top)} trials have it next to its {name} bound {bound:g}"
            yield Finding("at_bound", f"{text}: a wider range may be better", parameter.name)


def _place(parameter: Parameter, value: Value) -> float:
    """Return the position of a number in its range, from 0 to 1, on the parameter's scale."""
    low, high, at = float(parameter.low or 0), float(parameter.high or 0), float(value)
    if parameter.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.0


def _direction(parameter: Parameter, metric: Metric, done: Sequence[Observation]) -> Iterator[Finding]:
    if len(done) < ENOUGH:
        return
    if not parameter.numeric:
        yield from _choices(parameter, metric, done)
        return
    losses = _ranks([_loss(metric, seen) for seen in done])
    values = _ranks([float(seen.parameters[parameter.name]) for seen in done])
    if len(set(losses)) < 2 or len(set(values)) < 2:
        return
    rank = statistics.correlation(values, losses)
    if abs(rank) >= max(_CLEAR, _clear_by_chance(len(done))):
        which = "larger" if rank < 0 else "smaller"
        text = f"{which} values went with a better {metric.name} (rank correlation {abs(rank):.2f}, {len(done)} trials)"
        yield Finding("direction", text, parameter.name)


def _clear_by_chance(count: int) -> float:
    """Return the absolute rank correlation that `count` trials reach by chance with probability `_CHANCE`.

    Fisher's transformation, for ranks (Fieller, Hartley and Pearson, 1957).
    """
    return math.tanh(NormalDist().inv_cdf(1 - _CHANCE / 2) * math.sqrt(1.06 / (count - 3)))


def _choices(parameter: Parameter, metric: Metric, done: Sequence[Observation]) -> Iterator[Finding]:
    by_choice: dict[tuple[bool, object], list[float]] = {token(choice): [] for choice in parameter.choices}
    for seen in done:
        by_choice.setdefault(token(seen.parameters[parameter.name]), []).append(seen.metrics[metric.name])
    medians = {choice: _median(values) for choice, values in by_choice.items() if len(values) >= _FEW}
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
    """Return True if the differences between the groups are not significant at level `_CHANCE`.

    Kruskal-Wallis test (1952), with the Wilson-Hilferty approximation (1931) of its distribution.
    """
    ranks = iter(_ranks([value for group in groups for value in group]))
    by_group = [[next(ranks) for _ in group] for group in groups]
    every = [rank for group in by_group for rank in group]
    within = math.fsum(len(group) * (statistics.fmean(group) - (len(every) + 1) / 2) ** 2 for group in by_group)
    freedom = len(groups) - 1
    apart = within / statistics.variance(every)
    usual = 2 / (9 * freedom)
    return (math.pow(apart / freedom, 1 / 3) - (1 - usual)) / math.sqrt(usual) < NormalDist().inv_cdf(1 - _CHANCE)


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
    having = [seen for seen in history if parameter.name in seen.parameters]
    failed = [seen for seen in having if seen.state is TrialState.FAILED]
    if len(failed) < _FEW or len(having) < ENOUGH:
        return
    there = Counter(_region(parameter, seen.parameters[parameter.name]) for seen in having)
    bad = Counter(_region(parameter, seen.parameters[parameter.name]) for seen in failed)
    chances = {region: _at_least(bad[region], len(failed), there[region], len(having)) for region in bad}
    region = min(chances, key=chances.__getitem__)
    if chances[region] <= _CHANCE / (2 if parameter.numeric else len(parameter.choices)):
        words = f"it in the {region[1]} half of its range" if parameter.numeric else f"it at {_word(region[1])}"
        text = (
            f"{bad[region]} of the {len(failed)} failed trials have {words}; {there[region]} of all {len(having)} have"
        )
        yield Finding("failures", text, parameter.name)


def _at_least(hits: int, count: int, there: int, total: int) -> float:
    """Return the probability that `count` trials drawn from `total` include at least `hits` of `there` given ones.

    Fisher's exact test, one-sided.
    """

    def ways(chosen: int, among: int) -> float:
        return math.lgamma(among + 1) - math.lgamma(chosen + 1) - math.lgamma(among - chosen + 1)

    return math.fsum(
        math.exp(ways(k, there) + ways(count - k, total - there) - ways(count, total))
        for k in range(max(hits, count - total + there, 0), min(count, there) + 1)
    )


def _region(parameter: Parameter, value: Value) -> tuple[bool, object]:
    if not parameter.numeric:
        return token(value)
    return False, "lower" if _place(parameter, value) < 0.5 else "upper"


def _repeated(history: Sequence[Observation]) -> int:
    return len(history) - len({key(seen.parameters) for seen in history})


def _duplicates(repeated: int) -> Iterator[Finding]:
    if repeated:
        text = f"{plural(repeated, 'trial')} had a configuration that another one had before"
        yield Finding("duplicates", f"{text}: is the space smaller than the budget?")


def _selection(looked_at: int, count: int) -> Iterator[Finding]:
    if looked_at < count:
        text = f"what is said of ties and of parameters rests on {looked_at} of the {count} trials, evenly chosen"
        yield Finding("selection", text)
