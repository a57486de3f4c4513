"""Entry point of `orchestune` and of `python -m orchestune`."""

import os
import sys

from orchestune.system import platform


def main() -> int:
    """Run one command; return its exit code."""
    if platform.is_windows():  # before any import of what exists on Unix only
        sys.stderr.write(f"error: {platform.WINDOWS}\nhint:  {platform.WSL}\n")
        return 2
    try:
        from orchestune.cli.main import main as run  # imported here, so that Ctrl-C is quiet during the import too

        _leave_environment_of_uvx()
        return run()
    except KeyboardInterrupt:
        return 130


def _leave_environment_of_uvx() -> None:
    """Remove the environment of this program from PATH if `uvx` put it there: `python` is the caller's in trials.

    `uvx` sets UV, and puts its throw-away environment first. `uv run` does too, but names it in VIRTUAL_ENV: it is the
    project's.
    """
    first, _, others = os.environ.get("PATH", "").partition(os.pathsep)
    is_named = os.environ.get("VIRTUAL_ENV") == sys.prefix
    if "UV" in os.environ and first == os.path.join(sys.prefix, "bin") and others and not is_named:
        os.environ["PATH"] = others


if __name__ == "__main__":
    raise SystemExit(main())
