"""What this machine has for trials: the cores and memory that this process may use, and the GPUs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestune.backends.nvidia import Listed, among, listed, visible
from orchestune.domain.cards import Card, named
from orchestune.domain.resources import Machine

VARIABLE = "CUDA_VISIBLE_DEVICES"


def with_cards(cards: tuple[Card, ...], root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> Machine:
    """The machine's capacity within the limits of the container or the job that this process is in, with these cards.

    /proc and /sys are below `root`.
    """
    variable = environ.get(VARIABLE)
    return Machine(cores(root), memory(root), cards, hides="" if variable is None else f"{VARIABLE}={variable!r}")


def cores(root: Path = Path("/")) -> float:
    """Cores: those of this process's affinity, and no more than its control groups allow it."""
    allowed = float(len(os.sched_getaffinity(0)))
    for folder in _groups(root, "cpu"):
        words = _words(folder / "cpu.max") or _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(words) == 2 and all(word.isdecimal() and int(word) for word in words):  # else "max" or -1: no limit
            allowed = min(allowed, int(words[0]) / int(words[1]))
    return allowed


def memory(root: Path = Path("/")) -> int:
    """Bytes: the machine's memory, and no more than the control groups of this process allow it."""
    match = re.search(r"^MemTotal:\s*(\d+) kB", (root / "proc/meminfo").read_text(), re.MULTILINE)
    allowed = int(match[1]) * 1024 if match else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            allowed = min([allowed, *(int(word) for word in _words(folder / name) if word.isdecimal())])
    return allowed


def gpus(environ: Mapping[str, str] = os.environ) -> tuple[Card, ...]:
    """The cards to put into `CUDA_VISIBLE_DEVICES`: those that the variable names already, else all of the machine.

    By index, and parts of a GPU that is cut up by UUID. What the variable names and `nvidia-smi` does not list is
    believed, and nothing more is known of it. Asks `nvidia-smi`, which may take seconds, unless the variable hides all.
    """
    variable = environ.get(VARIABLE)
    if variable is None:
        return visible(listed(environ), None, by_uuid=False)
    words = named(variable)
    found = listed(environ) if words else []
    known = {word: card for word in words for card in visible(found, word, by_uuid=False)[:1]}
    return tuple(Card(word, *((known[word].model, known[word].memory) if word in known else ())) for word in words)


def every_gpu(environ: Mapping[str, str] = os.environ) -> tuple[tuple[Card, ...], Sequence[Listed]]:
    """All cards of the machine, whatever the variable names, by index as above; and what `nvidia-smi` lists.

    What the variable names and `nvidia-smi` does not list is believed here too.
    """
    found = listed(environ)
    every = visible(found, None, by_uuid=False)
    words = named(environ.get(VARIABLE, ""))
    return (*every, *(Card(word) for word in words if not among(every, word, found))), found


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the control groups (of either version) that limit this process, from its own one up."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    tree = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            tops = [tree, tree / "unified"]
        elif controller in controllers.split(","):
            tops = [tree / controllers, tree / controller]
        else:
            continue
        for top in tops:
            own = top if ".." in path else top / path.lstrip("/")  # "..": above what this container sees
            yield own
            yield from (parent for parent in own.parents if parent == top or top in parent.parents)


def _words(path: Path) -> list[str]:
    """The words of a file; none where it is missing."""
    try:
        return path.read_text().split()
    except OSError:
        return []
