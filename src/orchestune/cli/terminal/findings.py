"""Findings of checks on the screen, each as soon as it is there."""

from __future__ import annotations

from collections.abc import Iterable

from orchestune.cli.terminal.console import Console
from orchestune.client.doctor.finding import CheckResult

_SIGNS = {"ok": ("32", "ok"), "warning": ("33", "warning"), "error": ("31", "error")}


def show(console: Console, findings: Iterable[CheckResult]) -> int:
    """Print them, or with `--json` all in the end; the exit code: 1 where one is an error."""
    found: list[CheckResult] = []
    for finding in findings:
        found.append(finding)
        if console.json:
            continue
        colour, word = _SIGNS[finding.state]
        console.say(f"{console.paint(colour, f'{word:8}')} {finding.name:13} {finding.detail}")
        if finding.remedy and finding.state != "ok":
            console.say(f"{'':22} {console.paint.dim(console.paint.sign('→'))} {finding.remedy}")
    if console.json:
        console.document([finding.to_json() for finding in found])
    return 1 if any(finding.state == "error" for finding in found) else 0
