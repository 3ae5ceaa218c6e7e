"""`python -m nnft` is the command line `nnft`."""

from .analysis.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
