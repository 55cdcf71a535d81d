"""The process that a command runs in."""

import gc
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper

from qiskit_fedqml.errors import FedQMLError


def run_program(command: Callable[[], object]) -> None:
    """Run a command in this process; a user's mistake ends it with one sentence and exit code 2.

    Args:
        command: Reads the arguments, and does what they ask for.
    """
    for stream in (sys.stdout, sys.stderr):  # names of files need not be text that a terminal can show
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Modules make a million objects that are never garbage: to look for some among them, again and again while they are
    # imported and once more at the end, would take as long as a short run.
    gc.set_threshold(1_000_000, 10, 50)
    # torch's threads (libgomp's) spin while they wait for each other. Where other work takes a core, a small model's
    # round then takes a hundred times as long; asleep they wait about as well. It must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        command()
    except FedQMLError as error:
        print(f"fedqml: {error}", file=sys.stderr)
        sys.exit(2)
    except UnicodeEncodeError as error:  # some versions of typer look for a path without catching it
        print(f"fedqml: {error.object!r} is no name that a file can have.", file=sys.stderr)
        sys.exit(2)
    finally:
        gc.freeze()
