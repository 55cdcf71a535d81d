"""What the scripts' command lines have in common: their help, ``--out`` and ``--smallest``, and errors."""

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qiskit_fedqml import FedQMLError
from qiskit_fedqml.config.loading import parse_override

EXPERIMENTS = Path(__file__).resolve().parent.parent
BACKENDS = EXPERIMENTS.parent / "backends.yaml"


class ScriptParser(argparse.ArgumentParser):
    """A script's command line, with its docstring as help.

    ``--out`` names the folder of results. ``--smallest`` sets other defaults, with which the script does all that it
    does, in seconds; continuous integration runs every script so. Options that are given count in either case.

    Args:
        script: The script's ``__file__``.
        description: Its docstring.
        smallest: The defaults of the smallest size, by the options' names, where ``experiment`` is the argument without
            one; those of ``--set`` as a list.
    """

    def __init__(self, script: str, description: str, smallest: Mapping[str, Any]) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        self._smallest = smallest
        self._folder = Path(script).stem
        self.add_argument(
            "--out", type=Path, help=f"folder of results (default: results/{self._folder}, or results/smallest/…)"
        )
        self.add_argument("--smallest", action="store_true", help=f"a run of seconds, as if by {_as_options(smallest)}")

    def add_study_arguments(self, *, seeds: int, processes: int = 1) -> None:
        """Add ``--seeds``, ``--processes`` and ``--set``, which studies have.

        Args:
            seeds: The usual number of seeds.
            processes: The usual number of runs at a time.
        """
        self.add_argument("--seeds", type=positive, default=seeds, help="how many seeds (default: %(default)s)")
        self.add_argument("--processes", type=positive, default=processes, help="runs at a time (default: %(default)s)")
        self.add_settings()

    def add_settings(self) -> None:
        """Add ``--set KEY=VALUE``, as often as is wanted."""
        self.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in `fedqml run`")

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        """Return the arguments; ``out`` is a folder, and ``set`` a mapping of overrides."""
        arguments = super().parse_args(args)
        if arguments.smallest:
            self.set_defaults(**self._smallest)
            arguments = super().parse_args(args)
        if arguments.out is None:
            arguments.out = Path("results", *(["smallest"] if arguments.smallest else []), self._folder)
        if hasattr(arguments, "set"):
            arguments.set = dict(map(parse_override, arguments.set))
        return arguments


def _as_options(values: Mapping[str, Any]) -> str:
    """Return defaults as they would be given on the command line."""
    words = []
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        values_of = [str(each) for each in value] if isinstance(value, (list, tuple)) else [str(value)]
        if name == "set":
            words += [word for setting in values_of for word in (option, setting)]
        else:
            words += values_of if name == "experiment" else [option, *values_of]
    return shlex.join(words)


def positive(text: str) -> int:
    """Read a number from 1.

    Raises:
        ValueError: It is none.
    """
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def experiment_file(name: str) -> Path:
    """Return the path of an experiment file, or that of a name such as ``"digits"`` in the folder of the scripts."""
    return Path(name) if name.endswith(".yaml") else EXPERIMENTS / f"{name}.yaml"


def run_script(main: Callable[[], None]) -> None:
    """Run a script; a mistake of its user ends it with one sentence and exit code 1."""
    try:
        main()
    except FedQMLError as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: {error}")
