"""The command line that starts another process of this program."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def again() -> list[str]:
    """Return the command line without the program's own arguments, including a dynamic loader in front of it."""
    try:
        words = [os.fsdecode(word) for word in Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]]
    except OSError:  # not Linux
        words = list(getattr(sys, "orig_argv", [sys.executable, *sys.argv]))
    own = len(words) - len(sys.argv[1:])
    return [shutil.which(words[0]) or words[0], *words[1:own]]
