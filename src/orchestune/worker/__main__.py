"""Entry point of `python -m orchestune.worker` and `python worker.pyz`."""

from __future__ import annotations

import os
import sys

from orchestune.worker import settings as settings_module
from orchestune.worker.processes import umask
from orchestune.worker.processes.guard import Lifeline, run_guarded
from orchestune.worker.processes.tree import keep_files_from_children


def main() -> int:
    """Run the worker below a guard, or a subcommand that runs the command of one trial. Return the exit code."""
    if sys.argv[1:2] == ["terminal"]:
        from orchestune.worker.processes import terminal  # needed by few trials

        return terminal.main(sys.argv[2:])
    if sys.argv[1:2] == ["discover"]:
        from orchestune.worker.metrics import discover  # as above

        return discover.main(sys.argv[2:])
    try:
        settings = settings_module.load(os.environ)
    except settings_module.SettingsError as exc:
        print(f"orchestune worker: {exc}", file=sys.stderr)
        return 2

    keep_files_from_children()
    umask.keep_private(settings.umask)

    def work(line: Lifeline) -> int:
        from orchestune.worker.loop import WorkerLoop  # keeps the guard's memory small

        return WorkerLoop(settings, dict(os.environ), line).run()

    return run_guarded(work)


if __name__ == "__main__":
    sys.exit(main())
