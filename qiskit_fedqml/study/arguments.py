"""What the command lines of studies have in common."""

import argparse
from pathlib import Path


def add_study_arguments(parser: argparse.ArgumentParser, *, out: str, seeds: int) -> None:
    """Add ``--out``, ``--seeds`` and ``--processes``.

    Args:
        parser: A study's parser.
        out: The default folder of results.
        seeds: The default number of seeds.
    """
    parser.add_argument("--out", type=Path, default=Path(out), help="where results go (default: %(default)s)")
    parser.add_argument("--seeds", type=positive, default=seeds, help="how many seeds (default: %(default)s)")
    parser.add_argument("--processes", type=positive, default=1, help="runs at a time (default: 1)")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--set KEY=VALUE``, as often as is wanted."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in `fedqml run`")


def positive(text: str) -> int:
    """Read a number from 1.

    Raises:
        ValueError: It is none.
    """
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number
