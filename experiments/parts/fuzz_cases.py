"""What all kinds of the fuzzer share: a case, how bytes are damaged, and how far an experiment is run."""

import contextlib
import io
import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import yaml

from qiskit_fedqml import Experiment, FedQMLError, load_experiment, run_federation
from qiskit_fedqml.cli import main

TINY: dict[str, Any] = {
    "seed": 5,
    "data": {"dataset": "digits", "classes": [0, 1], "test_fraction": 0.8},
    "model": {"hidden": [4], "dropout": 0.25, "circuit": {"num_qubits": 2, "num_layers": 1}},
    "federation": {"clients": 4, "clients_per_round": 2, "rounds": 2, "batch_size": 8, "learning_rate": 0.05},
}
"""An experiment that takes a fraction of a second."""

LONGEST_MESSAGE = 1500
"""Characters of an error's text: more than this is no sentence for a reader."""


class DifferentError(Exception):
    """Damaged input was accepted, and gave something else than the whole input."""


@dataclass(frozen=True)
class Case:
    """One input.

    Args:
        change: What was done to it, in words.
        run: Gives it to the package; raises what the package raises, or :class:`DifferentError`.
    """

    change: str
    run: Callable[[], None]


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Args:
        prepare: Makes the whole input that cases are damaged copies of, in a folder, once.
        make: Makes a case from a generator, the folder of the whole input, and an empty folder of its own.
    """

    prepare: Callable[[Path], None]
    make: Callable[[random.Random, Path, Path], Case]


def nothing(_: Path) -> None:
    """Prepare nothing."""


def damaged(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Return bytes with bits flipped, with bytes put in or left out, or cut off; and what was done."""
    place = rng.randrange(len(content)) if content else 0
    match rng.randrange(6):
        case 0 | 1:
            changed = bytearray(content)
            for _ in range(rng.choice((1, 1, 1, 8))):
                at = rng.randrange(len(content))
                changed[at] ^= 1 << rng.randrange(8)
                place = at
            return bytes(changed), f"bit flipped at byte {place}"
        case 2:
            return content[:place], f"cut off at byte {place}"
        case 3:
            length = rng.choice((1, 4, 100))
            return content[:place] + content[place + length :], f"{length} bytes left out at {place}"
        case 4:
            extra = rng.choice((b"\0", b"\xff\xfe", b"\n", b"[", b"9" * 5000, rng.randbytes(16)))
            return content[:place] + extra + content[place:], f"{extra[:8]!r} put in at byte {place}"
        case _:
            length = rng.choice((1, 4, 100))
            filled = bytes([rng.choice((0, 255))]) * length
            return content[:place] + filled + content[place + length :], f"{filled[:4]!r} written over byte {place}"


class _EnoughError(Exception):
    """The first round was about to start."""


class _StopsAtFirstRound:
    """An observer that ends a run where its first round would start."""

    def round_started(self, round: int, num_rounds: int, num_clients: int) -> NoReturn:
        raise _EnoughError

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def assemble(experiment: Experiment, out: Path | None = None) -> None:
    """Run an experiment up to its first round: data, features, model, backends, and perhaps its folder."""
    try:
        run_federation(experiment, out, observer=_StopsAtFirstRound())
    except _EnoughError:
        return


def assemble_on(folder: Path, data: dict[str, Any], features: dict[str, Any] | None = None) -> None:
    """Assemble the tiny experiment on other data, with a cache of its own."""
    path = folder / "experiment.yaml"
    two = {**TINY["federation"], "clients": 2}
    path.write_text(yaml.safe_dump({**TINY, "data": data, "features": features or {}, "federation": two}))
    with mock.patch.dict(os.environ, {"FEDQML_DATA": str(folder), "FEDQML_CACHE": str(folder / "cache")}):
        assemble(load_experiment(path))


def command(*arguments: str) -> None:
    """Run a command of the command line here.

    Raises:
        SystemExit: It ended with a code other than 0 and 2.
        DifferentError: It ended with code 2 without a sentence.
    """
    error = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["fedqml", *arguments]),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(error),
    ):
        try:
            main()
        except SystemExit as end:
            if end.code not in (0, None, 1):
                if end.code not in (2, 3, 4, 5, 6) or not error.getvalue().strip():
                    raise DifferentError(f"the command ended with {end.code!r}: {error.getvalue()[:200]}") from end
                raise


def check_message(error: FedQMLError) -> None:
    """Check that an error's text is one that a user can read.

    Raises:
        DifferentError: It is too long, or shows what a foreign library said to a programmer.
    """
    text = str(error)
    if len(text) > LONGEST_MESSAGE:
        raise DifferentError(f"the message has {len(text)} characters: {text[:80]}…")
    if "weights_only=False" in text:
        raise DifferentError(f"the message advises to load pickles: {text[:200]}")


def json_paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values inside a JSON value."""
    found = [path] if path else []
    items: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items:
        found += json_paths(inner, (*path, key))
    return found


_JSON_VALUES = (
    *("null", "-5", "0", "1", "0.5", "1e308", "-1e308", "1e400", "NaN", "Infinity", "-Infinity", "true", "false"),
    *('"x"', '""', '"\\ud800"', '"\\u0000"', "[]", "{}", "[null]", '{"a": null}', "[" * 50 + "]" * 50),
    *("9" * 5000, "1" + "0" * 400, str(2**63), str(-(2**63) - 1), '"2001-99-99"', "[" * 100_000, "1e-320"),
)


def with_wrong_json(value: Any, rng: random.Random) -> tuple[str, str]:
    """Return a JSON text with one value replaced, left out, or put under another key; and what was done."""
    value = json.loads(json.dumps(value))
    path = rng.choice(json_paths(value))
    parent = value
    for step in path[:-1]:
        parent = parent[step]
    change = ".".join(map(str, path))[-80:]
    action = rng.randrange(8)
    if action == 0:
        del parent[path[-1]]
        return json.dumps(value), f"{change} left out"
    if action == 1 and isinstance(parent, list):
        parent.append(parent[path[-1]])
        return json.dumps(value), f"{change} twice"
    if action == 2 and isinstance(parent[path[-1]], (int, float)) and not isinstance(parent[path[-1]], bool):
        parent[path[-1]] = rng.choice((-1, 2, 10)) * parent[path[-1]] + rng.choice((0, 1))
        return json.dumps(value), f"{change}: another number"
    wrong = rng.choice(_JSON_VALUES)
    parent[path[-1]] = "THE PLACE"
    return json.dumps(value).replace('"THE PLACE"', wrong), f"{change}: {wrong[:20]}"
