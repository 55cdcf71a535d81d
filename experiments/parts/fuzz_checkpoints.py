"""Fuzzed folders of checkpoints: what stands in their place, lies among them, or keeps others from the run."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from parts.fuzz_cases import Case, DifferentError, Kind, damaged
from parts.fuzz_results import check_folder, prepare_runs, wanted_of
from qiskit_fedqml import FedQMLError

_LAST, _FIRST, _NEXT = (f"step-{step:06d}.safetensors" for step in (2, 1, 3))
_NAMES = (
    *("step-000000.safetensors", _NEXT, f"{_NEXT}.part", "step-000009.safetensors", "step-99999999999.safetensors"),
    *("step-999999999999999.safetensors", "step-2.safetensors", "step-٣.safetensors", "step--1.safetensors"),
    *("step-.safetensors", "step-000002", "notes.txt", ".nfs000001", "x\udcff", "x" * 250),
)
"""Names in the folder that no checkpoint of the runs has."""


def _is_link_or_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif _is_link_or_there(path):
        path.unlink()


def put_anything(rng: random.Random, path: Path, more: dict[str, Callable[[], object]] | None = None) -> str:
    """Put something at a path, which is free: what is no file of the package, or more; return what."""
    odd: dict[str, Callable[[], object]] = {
        "an empty folder": path.mkdir,
        "a folder with a file": lambda: (path.mkdir(), (path / "x").touch()),
        "a link to nothing": lambda: path.symlink_to(path.parent / "nowhere" / "at all"),
        "a link to itself": lambda: path.symlink_to(path),
        "a link to a folder": lambda: path.symlink_to(path.parent),
        "a pipe": lambda: os.mkfifo(path),
        "an empty file": path.touch,
        "text": lambda: path.write_text("{}"),
        "8 bytes that promise a long header": lambda: path.write_bytes(b"\xff" * 7 + b"\x7f"),
        **(more or {}),
    }
    change = rng.choice(list(odd))
    odd[change]()
    return change


def _put(rng: random.Random, path: Path, run: Path, other: Path) -> str:
    """Put anything at a path, or another checkpoint."""
    more: dict[str, Callable[[], object]] = {
        "the run's first": lambda: shutil.copyfile(run / "checkpoints" / _FIRST, path),
        "a link to the run's first": lambda: path.symlink_to(run / "checkpoints" / _FIRST),
        "another run's last": lambda: shutil.copyfile(other / "checkpoints" / _LAST, path),
        "another run's model": lambda: shutil.copyfile(other.parent / "finished" / "model.safetensors", path),
    }
    return put_anything(rng, path, more)


def _replaced(rng: random.Random, run: Path, other: Path) -> str:
    """Damage or replace one of the checkpoints, or both."""
    changes = []
    for name in rng.choice(((_LAST,), (_LAST,), (_FIRST,), (_LAST, _FIRST))):
        path = run / "checkpoints" / name
        if rng.random() < 0.4:
            content, change = damaged(path.read_bytes(), rng)
            path.write_bytes(content)
        else:
            aside = run.parent / name
            path.replace(aside)
            if rng.random() < 0.2:
                path.symlink_to(aside)
                change = "a link to the same elsewhere"
            else:
                change = _put(rng, path, run.parent / "whole", other)
        changes.append(f"{name}: {change}")
    return "; ".join(changes)


def _more(rng: random.Random, run: Path, other: Path) -> str:
    """Put something among the checkpoints."""
    name = rng.choice(_NAMES)
    return f"{name[:40]!a}: {_put(rng, run / 'checkpoints' / name, run.parent / 'whole', other)}"


def _instead(rng: random.Random, run: Path, other: Path) -> str:
    """Put something in the place of the folder, of the only checkpoint that there was before, or of the lock."""
    path = run / rng.choice(("checkpoints", "checkpoint.safetensors", "run.lock"))
    if path.name == "checkpoints" and rng.random() < 0.3:
        path.replace(run.parent / "aside")
        path.symlink_to(run.parent / "aside")
        return "the folder is a link"
    _remove(path)
    return f"{path.name}: {_put(rng, path, run.parent / 'whole', other)}"


def _case(rng: random.Random, base: Path, place: Path) -> Case:
    name = rng.choice(("unfinished", "kept", "buffered"))
    run, whole, other = place / "run", place / "whole", base / ("kept" if name == "unfinished" else "unfinished")
    for copy in (run, whole):
        shutil.copytree(base / name, copy)
    wanted_of(base, name)
    change = rng.choice((_replaced, _more, _instead))(rng, run, other)

    def check() -> None:
        try:
            check_folder(base, name, run)
        except FedQMLError:
            _check_nothing_is_lost(base, name, run)
            raise

    return Case(f"{name}: {change}", check)


def _check_nothing_is_lost(base: Path, name: str, run: Path) -> None:
    """Check that a run that was refused gives what the whole one gives once its checkpoints are as they were."""
    for part in ("checkpoints", "checkpoint.safetensors", "run.lock"):
        _remove(run / part)
    shutil.copytree(base / name / "checkpoints", run / "checkpoints")
    try:
        check_folder(base, name, run)
    except FedQMLError as error:
        raise DifferentError(f"refused, and something was lost by it: {error}") from error


KINDS = {"checkpoints": Kind(prepare_runs, _case)}
