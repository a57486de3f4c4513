"""`python -m orchestune.worker` and `python worker.pyz`."""

from __future__ import annotations

import os
import sys

from orchestune.worker import settings as settings_module
from orchestune.worker import umask
from orchestune.worker.guard import Lifeline, run_guarded
from orchestune.worker.tree import keep_files_from_children


def main() -> int:
    """Read the settings, put a guard above the worker, work; the exit code. `terminal`: see there."""
    if sys.argv[1:2] == ["terminal"]:
        from orchestune.worker import terminal  # which few trials need

        return terminal.main(sys.argv[2:])
    try:
        settings = settings_module.load(os.environ)
    except settings_module.SettingsError as exc:
        print(f"orchestune worker: {exc}", file=sys.stderr)
        return 2

    keep_files_from_children()
    umask.keep_private(settings.umask)

    def work(line: Lifeline) -> int:
        from orchestune.worker.loop import Loop  # the guard stays small without it

        return Loop(settings, dict(os.environ), line).run()

    return run_guarded(work)


if __name__ == "__main__":
    sys.exit(main())
