"""`python -m orchestune`, and what the program `orchestune` is: the command line."""


def main() -> int:
    """Run one command; its exit code."""
    try:
        from orchestune.cli.main import main as run  # here, so that Ctrl-C is quiet while it is being imported too

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
