"""Fuzzed text: experiment files, backends files, ``--set``, and paths that commands write to."""

import contextlib
import io
import os
import random
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from parts.fuzz_cases import TINY, Case, DifferentError, Kind, assemble, damaged, nothing
from qiskit_fedqml import BackendRegistry, Experiment, load_experiment
from qiskit_fedqml.cli import main

BACKENDS: dict[str, Any] = {
    "backends": {
        "ideal": {"type": "aer"},
        "manila": {"type": "aer", "noise": "FakeManilaV2", "shots": 16, "noise_factor": 2.0},
        "stated": {
            "type": "aer",
            "noise": {
                "depolarizing": {"one_qubit": 0.01, "two_qubit": 0.02},
                "amplitude_damping": {"one_qubit": 0.01},
                "readout": {"read_1_if_0": 0.1, "read_0_if_1": 0.1},
            },
            "shots": 50,
        },
        "saved": {"type": "aer", "noise": {"calibration": "manila.json"}},
        "device": {
            **{"type": "ibm", "device": "ibm_kingston", "mode": "batch", "shots": 64, "layout_trials": 2},
            **{"gradient": {"spsa": {"perturbation": 0.2}}, "waiting": {"poll_seconds": 1.0}, "options": {"a": 1}},
            **{"budget_seconds": 10.0, "max_execution_seconds": 100, "price_per_minute": 96.0},
        },
        "rehearsed": {"type": "ibm", "device": "FakeManilaV2", "initial_layout": [0, 1]},
        "quiet": {"type": "ibm", "device": {"least_busy": {"min_qubits": 5, "processor": "Heron"}}},
    },
    "assignment": {
        "server": "ideal",
        "default": {"cycle": ["ideal", "stated"]},
        "clients": {0: "stated", "1-2": "ideal"},
    },
    "budget_seconds": 100.0,
}
FULL = {
    **TINY,
    "data": {**TINY["data"], "validation_fraction": 0.1, "partition": {"scheme": "dirichlet", "alpha": 1.0}},
    "features": {"scaling": {"method": "client_sums", "per_feature": True, "center": True}},
    "federation": {**TINY["federation"], "local_epochs": 1, "optimizer": "adam", "proximal_mu": 0.1},
    "aggregation": {"success_exponent": 0.0, "angles": "circular", "server_optimizer": {"method": "fedadam"}},
    "evaluation": {"backends": ["stated"]},
    "backends": {"backends": {key: BACKENDS["backends"][key] for key in ("ideal", "stated")}},
    "tracking": {"tensorboard": False, "mlflow": None},
}

_NUMBERS = (
    *("0b", "0o", "0x", "0b2", "0x_", "1_:2", "1:60:99", "1:2.5", "._", "+.", "1e", "1e400", "-.inf", ".nan", ".inf"),
    *("0", "-1", "1", "0.5", "-0.0", "1e-320", "1e308", "1000000000", str(2**31), str(2**63), str(2**64), str(10**30)),
    *("9" * 5000, "-" + "9" * 5000, "0x" + "f" * 5000, "1" + "0" * 400, "1" + "0" * 400 + ".0", "1_000", "007", "08"),
)
_TAGS = (
    *("2001-99-99", "2001-01-01T99:99:99", "2001-02-30", "2001-01-01", "!!timestamp x", "!!timestamp 2001-13-01"),
    *('!!int ""', "!!int x", "!!int [1]", "!!float x", '!!float "1_"', '!!float ""', "!!bool x", "!!bool [1]"),
    *("!!null x", '!!binary "###"', "!!binary é", "!!binary YQ==", "!!set {a, b}", "!!set [a]", "!!omap [a: 1]"),
    *(
        "!!omap x",
        "!!omap [1]",
        "!!pairs [a: 1]",
        "!!pairs x",
        "!!map [1]",
        "!!seq {a: 1}",
        "!!str [1]",
        "!!str {a: 1}",
    ),
    *("!!python/object/apply:os.system [id]", "!!python/name:os.system", "!!python/tuple [1]", "!foo bar", "!<x> y"),
)
_SHAPES = (
    *(
        "*unknown",
        "&a [*a]",
        "&a {x: *a}",
        "{<<: 1}",
        "{<<: [1]}",
        "{<<: {a: 1}, a: 2}",
        "{<<: [{a: 1}, 2]}",
        "=",
        "<<",
    ),
    *("{? [1] : 2}", "{? {a: 1} : 2}", "{null: 1}", "{2001-01-01: 1}", "{1.5: 2}", "{.nan: 1, .nan: 2}", "{true: 1}"),
    *("[" * 100, "[" * 3000, "[" * 3000 + "]" * 3000, "{a: " * 1000 + "1" + "}" * 1000, "[]", "{}", "[[]]", "[{}]"),
    *("[null]", "[1, 1]", "[0, 1, 2, 3]", "[ideal, ideal]", f"[{', '.join(map(str, range(2000)))}]", "[1000000000]"),
    *(
        f"[{', '.join(f'name{i}' for i in range(2000))}]",
        "[1000000, 1000000]",
        "[1000000000, 1000000000]",
        "|",
        ">",
        "- 1",
    ),
)
_WORDS = (
    *(
        "true",
        "no",
        "~",
        '""',
        "''",
        '"\\0"',
        '"\\ud800"',
        '"\\udcff"',
        '"\\U00110000"',
        '"\\xZZ"',
        '"\t"',
        "\t",
        "x" * 100_000,
    ),
    *(
        '"$\\\\frac{"',
        "<script>",
        "../../etc",
        "a/b",
        '"\\n"',
        '"\u202eabc"',
        "ideal",
        "stated",
        "@",
        "`",
        "%",
        "!",
        "&",
        "*",
    ),
    *(
        "digits",
        "npz",
        "cifar10",
        "image_folder",
        "sgd",
        "keep",
        "paper",
        "qcnn",
        "tree",
        "reuploading",
        "classical",
        "aer",
    ),
    *("ibm", "sweep", "FakeManilaV2", "FakeNone", "fedavgm", "quantity_skew", "label_shards", "circular", "constant"),
)
_PLAUSIBLE = (
    *(
        "0",
        "1",
        "2",
        "3",
        "5",
        "8",
        "20",
        "0.1",
        "0.5",
        "1.0",
        "2.5",
        "1e-3",
        "100",
        "1000",
        "10000",
        "100000",
        "1000000",
    ),
    *("[0, 1]", "[1, 0]", "[5]", "[100000]", "[ideal]", "ideal", "stated", "true", "false", "null", "{}", "[]"),
)
VALUES = (*_NUMBERS, *_TAGS, *_SHAPES, *_WORDS)
KEYS = (
    *(
        "0-999999999",
        "5-1",
        "\u0663",
        "\u00b2",
        "0x1",
        "-1",
        "1-",
        "1-2-3",
        "9" * 5000,
        "0-" + "9" * 400,
        "",
        " ",
        ".",
        "3",
    ),
    *("\ud800", "\0", "x" * 5000, "type", "seed", "a.b", "$x", "<<", "=", "null", "true", "0", "00", "1-1", "2-2", "é"),
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = [p for key, v in value.items() for p in _paths(v, (*path, key))] if isinstance(value, dict) else []
    return [path, *inner]


def _with_value(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    return {**data, path[0]: _with_value(data.get(path[0]), path[1:], value)}


def _changed_document(base: dict[str, Any], rng: random.Random) -> tuple[bytes, str]:
    """Return a document with a value replaced by another, or with a new key."""
    path = rng.choice(_paths(base))
    word = rng.choice(VALUES if rng.random() < 0.6 else _PLAUSIBLE)
    text = yaml.safe_dump(_with_value(base, path, "THE_PLACE") if path else "THE_PLACE", sort_keys=False)
    told = f"{'.'.join(map(str, path)) or 'the root'}: {word[:40]!r}"
    if rng.random() < 0.2:
        sections = [p for p in _paths(base) if isinstance(_at(base, p), dict)]
        path, key = rng.choice(sections), rng.choice(KEYS)
        placed = {**_at(base, path), "THE_KEY": "THE_PLACE"}
        text = yaml.safe_dump(_with_value(base, path, placed), sort_keys=False)
        text = text.replace("THE_KEY", yaml.safe_dump(key, width=10**6).removesuffix("\n").removesuffix("\n..."))
        word = rng.choice(("ideal", "stated", word))
        told = f"{'.'.join(map(str, path)) or 'the root'}: key {key[:20]!r} with {word[:40]!r}"
    return text.replace("THE_PLACE", word).encode("utf-8", "surrogatepass"), told


def _at(data: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        data = data[step]
    return data


def _bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x, x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    return "\n".join(lines) + f"\nseed: *a{levels - 1}\n"


def _merge_bomb(levels: int) -> str:
    lines = ["m0: &m0 {a: 1, b: 2}"]
    for level in range(1, levels):
        lines.append(f"m{level}: &m{level} {{<<: [*m{level - 1}, *m{level - 1}]}}")
    return "\n".join(lines) + f"\nseed: {{<<: *m{levels - 1}}}\n"


def _wrong_document(base: dict[str, Any], rng: random.Random) -> tuple[bytes, str]:
    """Return a document that is wrong as a whole."""
    text = yaml.safe_dump(base, sort_keys=False)
    whole: dict[str, bytes] = {
        "empty": b"",
        "a comment alone": b"# nothing",
        "BOM": b"\xef\xbb\xbf" + text.encode(),
        "UTF-16": text.encode("utf-16"),
        "UTF-32": text.encode("utf-32"),
        "Latin-1": text.encode() + "é: 1".encode("latin-1"),
        "NUL at its end": text.encode() + b"\0",
        "two documents": text.encode() + b"---\n" + text.encode(),
        "unknown directive": b"%YAML 9.9\n---\n" + text.encode(),
        "bad directive": b"%TAG\n---\n" + text.encode(),
        "tabs": text.replace("  ", "\t").encode(),
        "carriage returns": text.replace("\n", "\r").encode(),
        "a list as root": b"- 1\n- 2\n",
        "a scalar as root": b"word",
        "alias bomb": _bomb(rng.choice((10, 40, 200)), rng.choice((2, 10))).encode(),
        "alias bomb below a whole document": text.encode() + b"extra:\n  - 1\n" + _bomb(30, 9).encode(),
        "merge bomb": _merge_bomb(rng.choice((10, 28, 100))).encode(),
        "deep lists": b"seed: " + b"[" * rng.choice((500, 5000, 100_000)),
        "deep mappings": b"".join(b" " * i + b"a:\n" for i in range(rng.choice((300, 1500)))),
        "deep dashes": b"- " * rng.choice((500, 5000)),
        "10 MB of a list": b"seed: [" + b"1, " * 3_300_000 + b"1]",
        "10 MB of keys": b"".join(b"k%d: 1\n" % i for i in range(900_000)),
        "10 MB of text": text.encode() + b"x: '" + b"y" * 10_000_000 + b"'",
        "10 MB of comments": text.encode() + b"# nothing to see\n" * 600_000,
        "400 kB of a list": b"seed: [" + b"1, " * 130_000 + b"1]",
        "400 kB of unknown keys": text.encode() + b"".join(b"k%d: 1\n" % i for i in range(40_000)),
        "two keys the same": text.encode() + b"seed: 1\n",
    }
    told = rng.choice(list(whole))
    return whole[told], told


def _document(base: dict[str, Any], rng: random.Random) -> tuple[bytes, str]:
    kind = rng.random()
    if kind < 0.7:
        return _changed_document(base, rng)
    if kind < 0.85:
        return damaged(yaml.safe_dump(base, sort_keys=False).encode(), rng)
    return _wrong_document(base, rng)


def _can_be_run(experiment: Experiment) -> bool:
    """Return whether an experiment needs nothing from outside and trains little in its first step."""
    backends = experiment.backends.backends.values()
    has_device = any(entry.type == "ibm" for entry in backends)
    return not has_device and experiment.tracking.mlflow is None and experiment.data.dataset == "digits"


def _load_and_assemble(path: Path, overrides: dict[str, Any] | None = None) -> None:
    experiment = load_experiment(path, overrides)
    if Experiment.model_validate(experiment.resolved()) != experiment:
        raise DifferentError("the resolved configuration is another one")
    if _can_be_run(experiment):
        assemble(experiment)


def _experiment(rng: random.Random, _: Path, folder: Path) -> Case:
    content, told = _document(rng.choice((TINY, FULL)), rng)
    path = folder / "experiment.yaml"
    path.write_bytes(content)
    return Case(told, lambda: _load_and_assemble(path))


def _backends(rng: random.Random, _: Path, folder: Path) -> Case:
    content, told = _document(BACKENDS, rng)
    path = folder / "backends.yaml"
    path.write_bytes(content)
    num_clients = rng.choice((4, 100_000))

    def run() -> None:
        registry = BackendRegistry.from_yaml(path)
        registry.assign(num_clients)
        for name, entry in registry.file.backends.items():
            if entry.type == "aer" and name in {"ideal", "stated"} and not isinstance(entry.noise, str):
                _ = registry[name]

    return Case(told, run)


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
                if end.code != 2 or not error.getvalue().strip():
                    raise DifferentError(f"the command ended with {end.code!r}: {error.getvalue()[:200]}") from end
                raise


def _settings(rng: random.Random, _: Path, folder: Path) -> Case:
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(FULL))
    keys = [".".join(map(str, p)) for p in _paths(FULL) if p]
    odd = (
        "",
        ".",
        "..a",
        "a.",
        "a..b",
        ".a",
        "seed.x",
        "federation.",
        " federation.rounds ",
        "a." * 2000,
        "b\0",
        *KEYS,
    )
    key = rng.choice(keys if rng.random() < 0.7 else odd)
    value = rng.choice(VALUES if rng.random() < 0.5 else _PLAUSIBLE)
    text = rng.choice((f"{key}={value}", f"{key}={value}", f"{key}={value}", key, f"{key}=", f"={key}", f"{key}=a=b"))
    told = f"--set {text[:80]!r}"
    return Case(told, lambda: command("citation", str(path), "--set", text))


def _odd_paths(folder: Path) -> dict[str, str]:
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
        "NUL": str(folder / "x\0y"),
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


def _path(rng: random.Random, base: Path, folder: Path) -> Case:
    told, path = rng.choice(list(_odd_paths(folder).items()))
    experiment = folder / "experiment.yaml"
    experiment.write_text(yaml.safe_dump(TINY))
    commands = {
        "run --out": ("run", str(experiment), "--set", "federation.rounds=1", "--out", path),
        "run FILE": ("run", path, "--out", str(folder / "out")),
        "run --backends": ("run", str(experiment), "--backends", path, "--out", str(folder / "out")),
        "resume": ("resume", path),
        "resume --budget": (
            "resume",
            str(base / "run"),
            "--budget",
            rng.choice(("nan", "x=nan", "-1", "inf", "=", "", path)),
        ),
        "jobs": ("jobs", path),
        "evaluate": ("evaluate", path),
        "evaluate --backends": ("evaluate", str(base / "run"), "--backends", path),
        "evaluate --backend": ("evaluate", str(base / "run"), "--backend", path),
        "compare": ("compare", path, "--out", str(folder / "out")),
        "compare --out": ("compare", str(base / "run"), "--out", path),
        "report": ("report", path, "--out", str(folder / "out")),
        "report --out": ("report", str(base / "run"), "--out", path),
        "plan --json": (
            "plan",
            str(base / "plan.yaml"),
            "--json",
            path,
            "--queue-seconds",
            rng.choice(("0", "nan", "inf", "-1")),
        ),
        "citation": ("citation", path),
        "backends": ("backends", "--backends", path),
        "backends --save-calibration": (
            "backends",
            "--backends",
            str(folder / "none.yaml"),
            "--save-calibration",
            "FakeManilaV2",
            path,
        ),
        "backends --save-calibration NAME": (
            "backends",
            "--backends",
            str(folder / "none.yaml"),
            "--save-calibration",
            path,
            str(folder / "c.json"),
        ),
    }
    name = rng.choice(list(commands))

    def run() -> None:
        here = Path.cwd()
        os.chdir(folder)
        try:
            command(*commands[name])
        finally:
            os.chdir(here)

    return Case(f"fedqml {name}: {told}", run)


def _prepare_paths(base: Path) -> None:
    from qiskit_fedqml import run_federation

    run_federation(Experiment.model_validate(TINY), base / "run")
    device = {"type": "ibm", "device": "FakeManilaV2", "shots": 16}
    array = {"backends": {"ideal": {"type": "aer"}, "device": device}, "assignment": {"clients": {0: "device"}}}
    (base / "plan.yaml").write_text(yaml.safe_dump({**TINY, "backends": array}))


KINDS = {
    "experiment": Kind(nothing, _experiment),
    "backends": Kind(nothing, _backends),
    "--set": Kind(nothing, _settings),
    "paths": Kind(_prepare_paths, _path),
}
