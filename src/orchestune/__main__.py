"""`python -m orchestune`: the command line."""

from orchestune.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
