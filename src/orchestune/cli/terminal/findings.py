"""Printing of check results, each as soon as it is available."""

from __future__ import annotations

from collections.abc import Iterable

from orchestune.cli.terminal.console import Console
from orchestune.client.doctor.finding import CheckResult

_SIGNS = {"ok": ("32", "ok"), "warning": ("33", "warning"), "error": ("31", "error")}


def show(console: Console, findings: Iterable[CheckResult]) -> int:
    """Print check results, with `--json` all at the end. Returns 1 if one is an error, else 0."""
    printed: list[CheckResult] = []
    for finding in findings:
        printed.append(finding)
        if console.json:
            continue
        colour, word = _SIGNS[finding.state]
        console.say(f"{console.paint(colour, f'{word:8}')} {finding.name:13} {finding.detail}")
        if finding.remedy and finding.state != "ok":
            console.say(f"{'':22} {console.paint.dim(console.paint.sign('→'))} {finding.remedy}")
    if console.json:
        console.document([finding.to_json() for finding in printed])
    return 1 if any(finding.state == "error" for finding in printed) else 0
