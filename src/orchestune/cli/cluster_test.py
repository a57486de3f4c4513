"""`cluster test`: everything that an experiment there needs, tried one by one, with what to do about each finding."""

from __future__ import annotations

import argparse

from orchestune.cli.cluster_commands import add_name, registered
from orchestune.cli.console import Console
from orchestune.cli.parser import Commands, add_command

_SIGNS = {"ok": ("32", "ok"), "warning": ("33", "warning"), "error": ("31", "error")}


def add(inner: Commands) -> None:
    """Add the command."""
    parser = add_command(
        inner,
        "test",
        test,
        help="try permissions, registry, a pod of each pool, DNS, the server, GPUs",
        details="Each finding says what to do. Exit code 1 when something is an error.",
        example="orchestune cluster test -n lab",
    )
    add_name(parser, required=False)


def test(console: Console, args: argparse.Namespace) -> int:
    """Run every check, show each finding as soon as it is there; 1 where one is an error."""
    from orchestune.cli.cluster_checks import (
        Finding,
        checks,
    )  # pods and registries take more modules than other commands

    cluster = registered(console, args.name)
    found: list[Finding] = []
    for finding in checks(console, cluster):
        found.append(finding)
        if console.json:
            continue
        colour, word = _SIGNS[finding.ok]
        console.say(f"{console.paint(colour, f'{word:8}')} {finding.name:13} {finding.detail}")
        if finding.remedy and finding.ok != "ok":
            console.say(f"{'':22} {console.paint.dim(console.paint.sign('→'))} {finding.remedy}")
    if console.json:
        console.document([finding.to_json() for finding in found])
    return 1 if any(finding.ok == "error" for finding in found) else 0
