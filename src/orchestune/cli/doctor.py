"""`orchestune doctor`: what is wrong on this machine, and what to do about it."""

from __future__ import annotations

import argparse

from orchestune.cli.console import Console
from orchestune.cli.parser import Commands, add_command

_SIGNS = {"ok": ("32", "ok"), "warning": ("33", "warning"), "error": ("31", "error")}


def add(commands: Commands) -> None:
    """Add the command."""
    add_command(
        commands,
        "doctor",
        doctor,
        help="check this machine and its server, and say what to do about each finding",
        details="Exit code 1 when something is an error.",
        example="orchestune doctor",
    )


def doctor(console: Console, args: argparse.Namespace) -> int:
    """Run every check; 1 where one of them found an error."""
    from orchestune.client.doctor import checks  # only this command looks at the machine

    findings = []
    for finding in checks(console.environ):
        findings.append(finding)
        if console.json:
            continue
        colour, word = _SIGNS[finding.ok]
        console.say(f"{console.paint(colour, f'{word:8}')} {finding.name:13} {finding.detail}")
        if finding.remedy and finding.ok != "ok":
            console.say(f"{'':22} {console.paint.dim(console.paint.sign('→'))} {finding.remedy}")
    if console.json:
        console.document([finding.to_json() for finding in findings])
    return 1 if any(finding.ok == "error" for finding in findings) else 0
