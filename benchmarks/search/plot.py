"""Pictures of results: how far each engine was after so many trials, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.search.report import by_setting, mean_of_problems
from benchmarks.search.suite import MARKS, PROBLEMS, regret

_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 150, 34, 40
_COLOURS = ("#1f6feb", "#d1242f", "#2da44e", "#bf8700", "#8250df", "#0a7ea4", "#bc4c00", "#57606a", "#a40e6c")
_LABEL_GAP = 15
"""pixels between two names"""


def draw(lines: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """One picture for each budget and number of workers, from the searches that every engine there has run."""
    written: list[Path] = []
    for (budget, workers), engines in sorted(by_setting(lines).items()):
        shared = sorted(set.intersection(*(set(runs) for runs in engines.values())))
        if not shared:
            continue
        first = next(iter(next(iter(engines.values())).values()))
        marks = [mark for mark in MARKS if str(mark) in first["best"]]
        traces = {engine: [_reached(runs, shared, mark) for mark in marks] for engine, runs in engines.items()}
        title = f"{budget} trials, {workers} worker{'s' * (workers > 1)}: {len(shared)} searches each"
        path = folder / f"search-{budget}-trials-{workers}-workers.svg"
        path.write_text(_picture(title, marks, traces))
        written.append(path)
    return written


def _reached(runs: Mapping[tuple[str, int], Mapping[str, Any]], shared: Sequence[tuple[str, int]], at: int) -> float:
    return mean_of_problems({key: regret(PROBLEMS[key[0]], float(runs[key]["best"][str(at)]), at) for key in shared})


def _picture(title: str, marks: Sequence[int], traces: Mapping[str, Sequence[float]]) -> str:
    top = max(1.1, *(value for values in traces.values() for value in values))
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(mark: float) -> float:
        return _LEFT + (right - _LEFT) * (mark - marks[0]) / max(marks[-1] - marks[0], 1)

    def y(value: float) -> float:
        return bottom - (bottom - _TOP) * value / top

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" ',
        'font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<path d="M{_LEFT} {y(tick):.1f}H{right}" stroke="#d0d7de" fill="none"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for mark in marks:
        parts.append(f'<text x="{x(mark):.1f}" y="{bottom + 16}" text-anchor="middle">{mark}</text>')
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">results</text>')
    parts.append(f'<text x="14" y="{(_TOP + bottom) / 2}" transform="rotate(-90 14 {(_TOP + bottom) / 2})" ')
    parts.append('text-anchor="middle">normalised regret (1: random search)</text>')
    order = sorted(traces, key=lambda engine: traces[engine][-1])
    for colour, engine in reversed(list(zip(_COLOURS * len(order), order, strict=False))):
        values = traces[engine]
        points = " ".join(f"{x(mark):.1f},{y(value):.1f}" for mark, value in zip(marks, values, strict=True))
        wide = 3 if engine == "auto" else 1.6
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{wide}"/>')
    parts += _names(order, {engine: y(traces[engine][-1]) for engine in order}, right)
    return "\n".join([*parts, "</svg>", ""])


def _names(order: Sequence[str], places: Mapping[str, float], right: float) -> list[str]:
    """The best one lowest, none over another."""
    parts, last = [], float("inf")
    for colour, engine in zip(_COLOURS * len(order), order, strict=False):
        last = min(places[engine], last - _LABEL_GAP)
        parts.append(f'<text x="{right + 8}" y="{last + 4:.1f}" fill="{colour}">{escape(engine)}</text>')
    return parts
