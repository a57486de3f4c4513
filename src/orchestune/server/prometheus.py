"""Prometheus' text format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestune.services.read_server import GAUGES

_OPENING = """\
# Metrics of the server

`GET /metrics` gives these to Prometheus, with the token of a viewer (made in *Settings* of the
[pages](../how-to/pages.md)), and costs the server next to nothing however many trials there are. All are gauges:
Prometheus keeps the history.

| name | label | what it counts |
|---|---|---|
"""
_CLOSING = """
```
# prometheus.yml
scrape_configs:
  - job_name: orchestune
    authorization: {credentials_file: /etc/prometheus/orchestune.token}
    static_configs: [{targets: ["orchestune.example.org:8470"]}]
```

What deserves an alert: `orchestune_experiments{state="paused"}` above zero for long (a guard waits for a person),
`orchestune_workers{state="lost"}`, `orchestune_waiting_messages` that grows, and no answer at all.
"""
Sample = tuple[str, Mapping[str, str], float]


def exposition(samples: Sequence[Sample]) -> str:
    """Samples as text, those of one name together. A name that ends in `_total` is a counter, any other a gauge."""
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


def reference() -> str:
    """The page of the reference that lists every name."""
    rows = []
    for name, gauge in GAUGES.items():
        values = ", ".join(f"`{value}`" for value in gauge.values)
        rows.append(f"| `{name}` | {f'`{gauge.label}`: {values}' if gauge.label else ''} | {gauge.about} |\n")
    return _OPENING + "".join(rows) + _CLOSING
