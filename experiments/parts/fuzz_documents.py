"""Fuzzed experiment files, backends files, tables of queue times, and values of ``--set``."""

import random
from pathlib import Path
from typing import Any

import yaml

from parts.fuzz_cases import TINY, Case, DifferentError, Kind, assemble, command, damaged, nothing
from parts.fuzz_values import BACKENDS, FULL, KEYS, PLAUSIBLE, QUEUED, REPLAYED, SCHEDULED, VALUES
from qiskit_fedqml import BackendRegistry, Experiment, FedQMLError, RunResult, load_experiment, run_federation

_EXPERIMENTS = (TINY, FULL, FULL, SCHEDULED, SCHEDULED, REPLAYED, QUEUED)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = [p for key, v in value.items() for p in _paths(v, (*path, key))] if isinstance(value, dict) else []
    return [path, *inner]


def _with_value(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    return {**data, path[0]: _with_value(data.get(path[0]), path[1:], value)}


def changed_document(base: dict[str, Any], rng: random.Random) -> tuple[bytes, str]:
    """Return a document with a value replaced by another, or with a new key."""
    path = rng.choice(_paths(base))
    if isinstance(_at(base, path), (bool, int, float)) and rng.random() < 0.5:
        other = _other(_at(base, path), rng)
        return yaml.safe_dump(_with_value(base, path, other)).encode(), f"{'.'.join(map(str, path))}: {other}"
    word = rng.choice(VALUES if rng.random() < 0.6 else PLAUSIBLE)
    text = yaml.safe_dump(_with_value(base, path, "THE_PLACE") if path else "THE_PLACE", sort_keys=False)
    change = f"{'.'.join(map(str, path)) or 'the root'}: {word[:40]!r}"
    if rng.random() < 0.2:
        sections = [p for p in _paths(base) if isinstance(_at(base, p), dict)]
        path, key = rng.choice(sections), rng.choice(KEYS)
        placed = {**_at(base, path), "THE_KEY": "THE_PLACE"}
        text = yaml.safe_dump(_with_value(base, path, placed), sort_keys=False)
        text = text.replace("THE_KEY", yaml.safe_dump(key, width=10**6).removesuffix("\n").removesuffix("\n..."))
        word = rng.choice(("ideal", "stated", word))
        change = f"{'.'.join(map(str, path)) or 'the root'}: key {key[:20]!r} with {word[:40]!r}"
    return text.replace("THE_PLACE", word).encode("utf-8", "surrogatepass"), change


def _other(value: float, rng: random.Random) -> float:
    """Return another value of the same type, that may well be allowed."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return rng.choice((value + 1, 2 * value, value / 2, 0.3, 0.0, 1.0, 1e-300, 1e-9, 1e6, 1e8))
    return rng.choice((1, 2, 3, 7, 0, 10, 1000, 100_000, 10_000_000))


def _grafted(rng: random.Random) -> tuple[bytes, str]:
    """Return an experiment with sections, or keys of `federation`, of others, and perhaps another number."""
    made, changes = dict(rng.choice(_EXPERIMENTS)), []
    for _ in range(rng.choice((1, 1, 2, 3))):
        other = rng.choice(_EXPERIMENTS)
        path = rng.choice([p for p in _paths(other) if len(p) == 1 or (len(p) == 2 and p[0] == "federation")])
        made = _with_value(made, path, _at(other, path))
        changes.append(f"{'.'.join(map(str, path))} of another")
    numbers = [path for path in _paths(made) if isinstance(_at(made, path), (bool, int, float))]
    for path in rng.sample(numbers, rng.choice((0, 1, 2))):
        made = _with_value(made, path, _other(_at(made, path), rng))
        changes.append(f"{'.'.join(map(str, path))}: {_at(made, path)}")
    return yaml.safe_dump(made).encode(), "; ".join(changes)


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
    change = rng.choice(list(whole))
    return whole[change], change


def _document(base: dict[str, Any], rng: random.Random) -> tuple[bytes, str]:
    kind = rng.random()
    if kind < 0.7:
        return changed_document(base, rng)
    if kind < 0.85:
        return damaged(yaml.safe_dump(base, sort_keys=False).encode(), rng)
    return _wrong_document(base, rng)


def _can_be_assembled(experiment: Experiment) -> bool:
    """Return whether an experiment needs nothing from outside."""
    backends = experiment.backends.backends.values()
    is_real = any(entry.type == "ibm" and not str(entry.device).startswith("Fake") for entry in backends)
    return not is_real and experiment.tracking.mlflow is None and experiment.data.dataset == "digits"


def _can_be_run(experiment: Experiment) -> bool:
    """Return whether an experiment also takes little time, in this process."""
    config, model = experiment.federation, experiment.model
    circuits = config.rounds * config.local_epochs * config.clients_per_round * model.circuit.num_layers
    is_small = config.clients <= 10 and circuits <= 20 and model.circuit.num_qubits <= 3 and sum(model.hidden) < 1000
    return is_small and config.workers == 1 and experiment.data.test_fraction >= 0.5


def _load_and_run(path: Path, overrides: dict[str, Any] | None = None) -> None:
    """Run an experiment, or begin it; what is refused must leave nothing, and what stops must be resumable."""
    experiment = load_experiment(path, overrides)
    if Experiment.model_validate(experiment.resolved()) != experiment:
        raise DifferentError("the resolved configuration is another one")
    if not _can_be_assembled(experiment):
        return
    out = path.parent / "out"
    try:
        if _can_be_run(experiment):
            run_federation(experiment, out)
        else:
            assemble(experiment, out)
    except FedQMLError:
        if out.exists():
            _check_left(out)
        raise
    _check_left(out)


def _check_left(out: Path) -> None:
    """Check that a folder is a run's, with nothing half-written in it."""
    if parts := sorted(part.name for part in out.rglob("*.part")):
        raise DifferentError(f"half-written files were left: {parts}")
    try:
        RunResult.load(out)
    except FedQMLError as error:
        raise DifferentError(f"what was left cannot be read: {error}") from error


def _experiment(rng: random.Random, _: Path, folder: Path) -> Case:
    content, change = _grafted(rng) if rng.random() < 0.4 else _document(rng.choice(_EXPERIMENTS), rng)
    path = folder / "experiment.yaml"
    path.write_bytes(content)
    return Case(change, lambda: _load_and_run(path))


_TRACE = "seconds,queue_seconds\n0,60\n3600,1800.5\n7200,300\n"
_CELLS = (
    *("", "nan", "inf", "-1", "-0", "1e309", "1e-320", "x", '"', '"3600', "1_0", "٣", " 5 ", "0x1", "9" * 5000, "\0"),
)


def _trace(rng: random.Random, _: Path, folder: Path) -> Case:
    """Make a table of queue times, which an experiment names by its path."""
    name = "queue.csv"
    if rng.random() < 0.4:
        content, change = damaged(_TRACE.encode(), rng)
    elif rng.random() < 0.5:
        rows = [line.split(",") for line in _TRACE.splitlines()]
        row, cell = rng.choice(rows[1:]), rng.choice(_CELLS)
        row[rng.randrange(2)] = cell
        content, change = "\n".join(map(",".join, rows)).encode(), f"a cell {cell[:20]!r}"
    else:
        content, change = _odd_table(rng)
        name = rng.choice((name, name, "", ".", "none.csv", "a\0b", "x" * 5000, "/dev/zero", "/proc/self/mem"))
    (folder / "queue.csv").write_bytes(content)
    section = {**SCHEDULED["scheduling"], "queue": {"trace": name}}
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump({**SCHEDULED, "scheduling": section}))
    return Case(f"{name[:20]!r}: {change}", lambda: _load_and_run(path))


def _odd_table(rng: random.Random) -> tuple[bytes, str]:
    rows = "".join(f"{time},1\n" for time in range(100_001))
    whole = {
        "empty": b"",
        "a header alone": _TRACE.splitlines()[0].encode(),
        "no header": _TRACE.partition("\n")[2].encode(),
        "empty lines": _TRACE.replace("\n", "\n\n").encode(),
        "semicolons": _TRACE.replace(",", ";").encode(),
        "a third column": _TRACE.replace("\n", ",1\n").encode(),
        "BOM": b"\xef\xbb\xbf" + _TRACE.encode(),
        "UTF-16": _TRACE.encode("utf-16"),
        "carriage returns": _TRACE.replace("\n", "\r").encode(),
        "a long cell": _TRACE.encode() + b"1" * 200_000 + b",1\n",
        "an open quote": _TRACE.encode() + b'"' + b"1,1\n" * 50_000,
        "times that fall": _TRACE.encode() + b"1,1\n",
        "too many rows": f"seconds,queue_seconds\n{rows}".encode(),
        "50 MB": _TRACE.encode() + b"1,1\n" * 12_000_000,
    }
    change = rng.choice(list(whole))
    return whole[change], change


def _backends(rng: random.Random, _: Path, folder: Path) -> Case:
    content, change = _document(BACKENDS, rng)
    path = folder / "backends.yaml"
    path.write_bytes(content)
    num_clients = rng.choice((4, 100_000))

    def run() -> None:
        registry = BackendRegistry.from_yaml(path)
        registry.assign(num_clients)
        for name, entry in registry.file.backends.items():
            if entry.type == "aer" and name in {"ideal", "stated"} and not isinstance(entry.noise, str):
                _ = registry[name]

    return Case(change, run)


def _settings(rng: random.Random, _: Path, folder: Path) -> Case:
    path = folder / "experiment.yaml"
    base = rng.choice((FULL, SCHEDULED, REPLAYED))
    path.write_text(yaml.safe_dump(base))
    keys = [".".join(map(str, p)) for p in _paths(base) if p]
    odd = (*KEYS, *[".", "..a", "a.", "a..b", ".a", "seed.x", "federation."], " federation.rounds ", "a." * 2000, "b\0")
    key = rng.choice(keys if rng.random() < 0.7 else odd)
    value = rng.choice(VALUES if rng.random() < 0.5 else PLAUSIBLE)
    text = rng.choice((f"{key}={value}", f"{key}={value}", f"{key}={value}", key, f"{key}=", f"={key}", f"{key}=a=b"))
    change = f"--set {text[:80]!r}"
    return Case(change, lambda: command("citation", str(path), "--set", text))


KINDS = {
    "experiment": Kind(nothing, _experiment),
    "trace": Kind(nothing, _trace),
    "backends": Kind(nothing, _backends),
    "--set": Kind(nothing, _settings),
}
