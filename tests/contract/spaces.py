"""Spaces at random, for properties that hold in all of them."""

from __future__ import annotations

from hypothesis import strategies as st

from orchestune.domain.search.parameters import Parameter, Value, token
from orchestune.domain.search.space import Space

_TEXTS = ["adam", "sgd", "", "naïve", "1", "none"]


@st.composite
def parameters(draw: st.DrawFn, name: str, finite: bool = False) -> Parameter:
    """One parameter without conditions, of any kind; `finite`: one whose values can be listed."""
    kind = draw(st.sampled_from(["int", "categorical", "bool", "stepped"] + ([] if finite else ["float", "float"])))
    if kind == "bool":
        return Parameter(name, "bool", choices=(False, True))
    if kind == "categorical":
        values = st.one_of(st.sampled_from(_TEXTS), st.integers(-3, 3), st.booleans(), st.sampled_from([0.5, 1e-9]))
        choices = draw(st.lists(values, min_size=1, max_size=4, unique_by=token))
        return Parameter(name, "categorical", choices=tuple(choices))
    if kind == "float":
        return draw(_floats(name))
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -5, 5))
    count = draw(st.integers(1, 4 if finite else 100))
    step = draw(st.one_of(st.none(), st.integers(1, 3)))
    if kind == "int":
        return Parameter(name, "int", low, low + count * (step or 1), log=log, step=step)
    width = draw(st.sampled_from([0.1, 0.25, 1e-3]))
    return Parameter(name, "float", float(low), low + count * width, log=log, step=width)


@st.composite
def _floats(draw: st.DrawFn, name: str) -> Parameter:
    if draw(st.booleans()):
        low, high = sorted(draw(st.tuples(st.integers(-300, 299), st.integers(-300, 299))))
        return Parameter(name, "float", 10.0**low, 10.0 ** (high + 1), log=True)
    bottom = draw(st.sampled_from([-1e308, -1.0, 0.0, 1e-12, 5.0, 1e15]))
    width = draw(st.sampled_from([1.0, 1e-3, 1e9, 1e308]))
    return Parameter(name, "float", bottom, max(bottom + width, bottom + abs(bottom) / 1000))


@st.composite
def spaces(draw: st.DrawFn, finite: bool = False, most: int = 5) -> Space:
    """A space of one to `most` parameters with conditions of any depth; `finite`: few enough points to walk them."""
    placed: list[Parameter] = []
    for index in range(draw(st.integers(1, most))):
        parameter = draw(parameters(f"p{index}", finite))
        parents = [other for other in placed if other.kind != "float" and other.count() <= 100]
        when: dict[str, tuple[Value, ...]] = {}
        for parent in draw(st.lists(st.sampled_from(parents), max_size=2, unique_by=id)) if parents else []:
            levels = parent.levels() or ()
            when[parent.name] = tuple(draw(st.lists(st.sampled_from(levels), min_size=1, max_size=2, unique_by=token)))
        placed.append(
            Parameter(
                parameter.name,
                parameter.kind,
                parameter.low,
                parameter.high,
                parameter.log,
                parameter.step,
                parameter.choices,
                tuple(when.items()),
            )
        )
    return Space.of(tuple(draw(st.permutations(placed))))
