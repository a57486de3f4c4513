"""Entry point of `orchestune` and of `python -m orchestune`."""


def main() -> int:
    """Run one command; return its exit code."""
    try:
        from orchestune.cli.main import main as run  # imported here, so that Ctrl-C is quiet during the import too

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
