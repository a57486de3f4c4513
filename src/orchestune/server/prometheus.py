"""The Prometheus text exposition format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestune.services.queries.read_server import GAUGES

Sample = tuple[str, Mapping[str, str], float]


def exposition(samples: Sequence[Sample]) -> str:
    """Serialize samples, grouped by name. A name that ends in `_total` is a counter, any other a gauge."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample[0], []).append(sample)
    lines = []
    for name, group in by_name.items():
        if name in GAUGES:
            lines.append(f"# HELP {name} {GAUGES[name].about}")
        lines.append(f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}")
        lines += [f"{name}{_labels(labels)} {float(value):.17g}" for _, labels, value in group]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
