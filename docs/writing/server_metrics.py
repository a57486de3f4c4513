"""docs/reference/metrics.md, made from what the server counts."""

from __future__ import annotations

from orchestune.services.queries.read_server import GAUGES

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


def page() -> str:
    """The page."""
    rows = []
    for name, gauge in GAUGES.items():
        values = ", ".join(f"`{value}`" for value in gauge.values)
        rows.append(f"| `{name}` | {f'`{gauge.label}`: {values}' if gauge.label else ''} | {gauge.about} |\n")
    return _OPENING + "".join(rows) + _CLOSING
