"""Fuzzed paths and numbers on the command line: what commands read, and where they write."""

import contextlib
import random
import shutil
from pathlib import Path

import yaml

from parts.fuzz_cases import TINY, Case, DifferentError, Kind, command
from qiskit_fedqml import Experiment, run_federation


def _odd_paths(folder: Path) -> dict[str, str]:
    """Return paths that a command can be given; one with a NUL it cannot."""
    (folder / "a file").write_text("x")
    (folder / "a link to nothing").symlink_to(folder / "nowhere" / "at all")
    (folder / "a link to itself").symlink_to(folder / "a link to itself")
    (folder / "taken").mkdir()
    (folder / "taken" / "table.md").mkdir(parents=True)
    (folder / "taken" / "report.html").mkdir()
    (folder / "taken" / "figures").write_text("x")
    return {
        "a file": str(folder / "a file"),
        "below a file": str(folder / "a file" / "x"),
        "too long a name": str(folder / ("x" * 300)),
        "too long a path": str(folder / "/".join(["x" * 200] * 30)),
        "surrogate": str(folder / "x\udcff"),
        "lone surrogate": str(folder / "x\ud800"),
        "nowhere": str(folder / "a" / "b" / "c"),
        "dangling link": str(folder / "a link to nothing"),
        "link to itself": str(folder / "a link to itself"),
        "a folder": str(folder),
        "a folder with folders in the way": str(folder / "taken"),
        "empty": "",
        "root of proc": "/proc/nothing",
        "dollars": str(folder / "$x$ {y} $\\frac"),
        "markup": str(folder / "<b>|x|"),
        "new line": str(folder / "a\nb"),
        "space": str(folder / " "),
    }


def _commands(path: str, base: Path, folder: Path, rng: random.Random) -> dict[str, tuple[str, ...]]:
    shutil.copytree(base / "run", folder / "run")
    experiment, run, out, none = (
        str(p) for p in (folder / "e.yaml", folder / "run", folder / "out", folder / "none.yaml")
    )
    budget = rng.choice(("nan", "x=nan", "-1", "inf", "=", "", "1e400", path))
    queue = rng.choice(("0", "0", "nan", "inf", "-1", "x"))
    rounds = rng.choice(("2", "1", "0", "-1", "9" * 50, "1000000000", "x"))
    workers = rng.choice(("auto", "1", "0", "-1", "1.5", "9" * 50, "1025", "x", "", "٣"))
    address = rng.choice((path, "", ":", "a:", ":1", "a:0", "a:65535", "a:65536", "::1", "a b", "é", "x" * 300, "a/b"))
    seconds = rng.choice(("0", "-1", "nan", "inf", "1e9", "x", "1", "1e400"))
    return {
        "run --out": ("run", experiment, "--set", "federation.rounds=1", "--out", path),
        "run FILE": ("run", path, "--out", out),
        "run --backends": ("run", experiment, "--backends", path, "--out", out),
        "resume": ("resume", path),
        "resume --budget": ("resume", run, "--budget", budget),
        "extend": ("extend", path, "--rounds", rounds),
        "extend --rounds": ("extend", run, "--rounds", rounds if rounds != "2" else "1"),
        "jobs": ("jobs", path),
        "run --workers": ("run", experiment, "--out", out, "--workers", workers),
        "resume --workers": ("resume", run, "--workers", workers),
        "extend --workers": ("extend", run, "--rounds", "1", "--workers", workers),
        "deploy": ("deploy", experiment, path),
        "deploy FILE": ("deploy", path, out),
        "deploy --backends": ("deploy", experiment, out, "--backends", path),
        "deploy --address": ("deploy", experiment, out, "--address", address),
        "deploy --round-seconds": ("deploy", experiment, out, "--shards", "--round-seconds", seconds),
        "evaluate": ("evaluate", path),
        "evaluate --backends": ("evaluate", run, "--backends", path),
        "evaluate --backend": ("evaluate", run, "--backend", path),
        "compare": ("compare", path, "--out", out),
        "compare --out": ("compare", run, "--out", path),
        "report": ("report", path, "--out", out),
        "report --out": ("report", run, "--out", path),
        "plan --json": ("plan", str(base / "plan.yaml"), "--json", path, "--queue-seconds", queue),
        "citation": ("citation", path),
        "backends": ("backends", "--backends", path),
        "backends --save-calibration": ("backends", "--backends", none, "--save-calibration", "FakeManilaV2", path),
        "backends NAME": ("backends", "--backends", none, "--save-calibration", path, str(folder / "c.json")),
    }


def _path(rng: random.Random, base: Path, folder: Path) -> Case:
    change, path = rng.choice(list(_odd_paths(folder).items()))
    (folder / "e.yaml").write_text(yaml.safe_dump(TINY))
    commands = _commands(path, base, folder, rng)
    name = rng.choice(list(commands))

    def run() -> None:
        before = _left_in(folder)
        with contextlib.chdir(folder):
            try:
                command(*commands[name])
            except SystemExit:
                if name.startswith("deploy") and (left := _left_in(folder) - before):
                    raise DifferentError(f"a deployment that was refused left {sorted(left)[:3]}") from None
                raise

    return Case(f"fedqml {name}: {change}", run)


def _left_in(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def _prepare_paths(base: Path) -> None:
    run_federation(Experiment.model_validate(TINY), base / "run")
    device = {"type": "ibm", "device": "FakeManilaV2", "shots": 16}
    array = {"backends": {"ideal": {"type": "aer"}, "device": device}, "assignment": {"clients": {0: "device"}}}
    (base / "plan.yaml").write_text(yaml.safe_dump({**TINY, "backends": array}))


KINDS = {"paths": Kind(_prepare_paths, _path)}
