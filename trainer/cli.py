"""The `trainer` command. Its parts arrive with the releases to come; for now it says so."""

from __future__ import annotations

import sys


def main() -> None:
    """Say what is missing and exit with 1."""
    print("trainer is not part of this release: make scenes with `worldgen make`.", file=sys.stderr)
    sys.exit(1)
