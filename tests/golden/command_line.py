"""Transcripts of command lines that run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.golden.lab import Lab
from tests.golden.normalize import Placeholders, rounded, without_durations

Run = Callable[..., tuple[int, str, str]]
"""runs one command; its exit code and what it wrote on both streams"""
_IMPRECISE = ("importance", "explain")
"""commands whose numbers come from a model that is fitted: two digits of them count"""


def transcript(lines: Iterable[str], run: Run, lab: Lab, home: Path, seconds: float = 0.0) -> str:
    """Run commands one after the other; each with what it printed.

    {NAME} in a line is the handle of an experiment of the lab, {home} the home folder; `seconds` pass after each line.
    """
    runs = []
    for line in lines:
        runs.append(without_durations(transcript_of(line.format(**lab.handles, home=home).split(), run)))
        lab.world.clock.pass_time(seconds)
    lab.find_others()
    return placed("\n".join(runs), {**lab.names, str(lab.folder): "<project>", str(home): "<home>"})


def transcript_of(words: list[str], run: Run) -> str:
    """Run one command, and show it with its exit code and both streams."""
    code, out, err = run(*words)
    parts = [f"$ {' '.join(['orchestune', *words])}\n", _stable(out, 2 if words[:1] and words[0] in _IMPRECISE else 6)]
    parts += [f"--- standard error\n{err}"] if err else []
    parts += [f"--- exit code {code}\n"] if code else []
    return "".join(parts)


def placed(text: str, names: Mapping[str, str]) -> str:
    """Return the transcript with placeholders for `names` and for all else that differs."""
    return Placeholders(names).of(text)


def _stable(out: str, digits: int) -> str:
    """Return an output, with numbers of so many digits and without durations if it is JSON."""
    try:
        return json.dumps(rounded(json.loads(out), digits), indent=2, ensure_ascii=False) + "\n"
    except ValueError:
        pass
    try:
        documents = [rounded(json.loads(line), digits) for line in out.splitlines()]
    except ValueError:
        return out
    return "".join(f"{json.dumps(document, ensure_ascii=False)}\n" for document in documents)
