"""Fuzzed result folders: what is damaged must be refused, or give exactly what the whole folder gives."""

import contextlib
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file

from parts.fuzz_cases import TINY, Case, DifferentError, Kind, command, damaged, with_wrong_json
from parts.fuzz_values import QUEUED, SCHEDULED, VALUES
from qiskit_fedqml import BackendRegistry, Experiment, RunResult, load_model, resume_federation, run_federation
from qiskit_fedqml.report.curves import round_rows
from qiskit_fedqml.report.overview import origin_rows, run_facts, sentence
from qiskit_fedqml.report.page import write_report
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.results.evaluation import evaluate_model

_THREE = {**TINY["federation"], "rounds": 3}
_KEPT = {**_THREE, "client_optimizer_state": "keep", "clients_per_round": 4}
_DEVICE = {"type": "ibm", "device": "FakeManilaV2", "shots": 16}
_RUNS: dict[str, dict[str, Any]] = {
    "finished": TINY,
    "other": {**TINY, "seed": 6},
    "unfinished": {**TINY, "federation": _THREE},
    "unfinished other": {**TINY, "federation": _THREE, "seed": 6},
    "kept": {**TINY, "federation": _KEPT, "aggregation": {"server_optimizer": {"method": "fedadam"}}},
    "queued": {**QUEUED, "federation": {**QUEUED["federation"], "rounds": 3, "min_clients": 1}},
    "buffered": {**SCHEDULED, "federation": {**SCHEDULED["federation"], "rounds": 3}, "checkpoints": {"keep": 2}},
    "device": {
        **TINY,
        "data": {**TINY["data"], "test_fraction": 0.98},
        "federation": {"clients": 2, "clients_per_round": 1, "rounds": 1},
        "backends": {
            "backends": {"ideal": {"type": "aer"}, "rehearsed": _DEVICE},
            "assignment": {"default": "rehearsed"},
        },
    },
}
_EXCHANGED = {
    **{"finished": "other", "unfinished": "unfinished other", "kept": "unfinished", "device": "finished"},
    **{"buffered": "unfinished", "queued": "buffered", "old": "other"},
}


class _Interrupts:
    """An observer that ends a run where its third round would start, as Ctrl-C does."""

    def round_started(self, round: int, num_rounds: int, num_clients: int) -> None:
        if round == 3:
            raise KeyboardInterrupt

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def prepare_runs(base: Path) -> None:
    """Write result folders."""
    for name, data in _RUNS.items():
        with contextlib.suppress(KeyboardInterrupt):
            run_federation(Experiment.model_validate(data), base / name, observer=_Interrupts())
    old = shutil.copytree(base / "finished", base / "old")
    (old / "manifest.json").unlink(missing_ok=True)
    run = json.loads((old / "run.json").read_text())
    (old / "run.json").write_text(json.dumps({key: value for key, value in run.items() if key != "run_id"}))


def _bits(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[str, bytes]]:
    return {
        name: (f"{t.dtype} {tuple(t.shape)}", t.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        for name, t in ((n, t if t.ndim else t[None]) for n, t in sorted(state.items()))
    }


def _same(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise DifferentError(f"{what} differs from that of the whole folder")


def _text(value: Any) -> str:
    """Return a value as text by which two can be compared, NaN included."""
    return json.dumps(value, sort_keys=True, default=str)


def _report(result: RunResult) -> str:
    runs = {"run": result}
    rows = [table_rows(runs), round_rows(runs), origin_rows(runs), sentence(runs), run_facts(result)]
    return _text([result.experiment.resolved(), result.run, [asdict(r) for r in result.rounds], *rows])


def _of_finished(folder: Path) -> dict[str, Any]:
    """Return all that a finished run gives; what is the first to differ is change first."""
    result = RunResult.load(folder)
    found: dict[str, Any] = {"the report": _report(result), "the model": _bits(result.state)}
    model = load_model(folder)
    found["the loaded model"] = _bits(model.state_dict())
    backend = BackendRegistry(result.experiment.backends, Path()).server
    evaluation = evaluate_model(folder, backend)
    found["the evaluation"] = (evaluation.loss, evaluation.accuracy, evaluation.logits.tobytes(), evaluation.classes)
    resumed = resume_federation(folder)
    found["the resumed run"] = (_report(resumed), _bits(resumed.state))
    return found


def _of_unfinished(folder: Path) -> dict[str, Any]:
    """Return all that an unfinished run gives; without its last checkpoint it has fewer rounds, and runs them again."""
    loaded = RunResult.load(folder)
    found: dict[str, Any] = {"the report": _report(loaded)} if len(loaded.rounds) == 2 else {}
    resumed = resume_federation(folder)
    found["the resumed run's configuration"] = _text([resumed.experiment.resolved(), resumed.run])
    if loaded.rounds:
        found["the resumed run's first round"] = _text(asdict(resumed.rounds[0]))
    found["the resumed run's rounds"] = _text([asdict(record.without_times()) for record in resumed.rounds])
    found["the resumed run's model"] = _bits(resumed.state)
    return found


def _of_old(folder: Path) -> dict[str, Any]:
    """Return nothing to compare: nothing proves a folder of version 0.1, but it must be read or refused."""
    result = RunResult.load(folder)
    if result.rounds:
        _report(result)
    load_model(folder)
    return {}


def _of_queued(folder: Path) -> dict[str, Any]:
    """Return how many rounds there are in the end: which updates come first is the devices' own."""
    RunResult.load(folder)
    command("jobs", str(folder))
    return {"the number of rounds": len(resume_federation(folder).rounds)}


def _of_device(folder: Path) -> dict[str, Any]:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        command("jobs", str(folder))
    return {"the table of jobs": output.getvalue(), **_of_finished(folder)}


_OF = {
    **{"finished": _of_finished, "unfinished": _of_unfinished, "kept": _of_unfinished, "device": _of_device},
    **{"buffered": _of_unfinished, "queued": _of_queued, "old": _of_old},
}


@cache
def wanted_of(base: Path, name: str) -> dict[str, Any]:
    """Return all that a whole folder gives."""
    copy = base / f"whole {name} of {os.getpid()}"
    if copy.exists():
        shutil.rmtree(copy)
    shutil.copytree(base / name, copy)
    return _OF[name](copy)


def check_folder(base: Path, name: str, folder: Path, *, with_page: bool = False) -> None:
    """Check that a folder is refused, or gives what the whole one gives."""
    wanted = wanted_of(base, name) if name != "old" else {}
    if with_page:
        write_report([folder], folder.parent / "report")
    for what, found in _OF[name](folder).items():
        _same(what, found, wanted[what])


def _folder(rng: random.Random, base: Path, place: Path) -> Case:
    names = (
        "finished",
        "finished",
        "unfinished",
        "unfinished",
        "kept",
        "buffered",
        "queued",
        "queued",
        "device",
        "old",
    )
    name = rng.choice(names)
    folder = place / "run"
    shutil.copytree(base / name, folder)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "run.lock"]
    file = rng.choice(sorted(files))
    action = rng.choice((_damage, _damage, _exchange, _replace, _edit, _edit))
    if name != "old":
        wanted_of(base, name)  # now, not while the time of the damaged one is taken
    other = base / _EXCHANGED[name] / file.relative_to(folder).parent
    change = f"{name}: {file.name}: {action(rng, file, other)}"
    with_page = name != "device" and rng.random() < 0.05
    return Case(change, lambda: check_folder(base, name, folder, with_page=with_page))


def _damage(rng: random.Random, file: Path, _: Path) -> str:
    content, change = damaged(file.read_bytes(), rng)
    file.write_bytes(content)
    return change


def _exchange(rng: random.Random, file: Path, other: Path) -> str:
    if not (other / file.name).exists():
        return _replace(rng, file, other)
    shutil.copyfile(other / file.name, file)
    return "of another run"


def _replace(rng: random.Random, file: Path, _: Path) -> str:
    file.unlink()
    change = rng.choice(("missing", "empty", "a folder", "a link to nothing", "a link to itself", "a pipe"))
    match change:
        case "empty":
            file.touch()
        case "a folder":
            file.mkdir()
        case "a link to nothing":
            file.symlink_to("/nonexistent")
        case "a link to itself":
            file.symlink_to(file)
        case "a pipe":
            os.mkfifo(file)
    return change


def _edit(rng: random.Random, file: Path, _: Path) -> str:
    match file.name:
        case "config.yaml":
            return _edit_configuration(rng, file)
        case "run.json":
            data = json.loads(file.read_text())
            if rng.random() < 0.3:
                data["classes"].reverse()
                file.write_text(json.dumps(data))
                return "classes in another order"
            text, change = with_wrong_json(data, rng)
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
            return change
        case "rounds.jsonl":
            return _edit_rounds(rng, file)
    if file.suffix == ".safetensors":
        return _edit_tensors(rng, file)
    return _damage(rng, file, file)


def _edit_configuration(rng: random.Random, file: Path) -> str:
    data = yaml.safe_load(file.read_text())
    section, parent = data, ""
    while True:
        key = rng.choice(list(section))
        if not isinstance(section[key], dict) or not section[key] or rng.random() < 0.2:
            break
        parent += f"{key}."
        section = section[key]
    value = section.pop(key)
    if rng.random() < 0.3:
        file.write_text(yaml.safe_dump(data, sort_keys=False))
        return f"{parent}{key} left out"
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.6:
        section[key] = rng.choice((value + 1, value - 1, value * 2, value / 2, 0))
        file.write_text(yaml.safe_dump(data, sort_keys=False))
        return f"{parent}{key}: {section[key]}"
    section[key] = "THE_PLACE"
    word = rng.choice(VALUES)
    text = yaml.safe_dump(data, sort_keys=False).replace("THE_PLACE", word)
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    return f"{parent}{key}: {word[:40]!r}"


def _edit_rounds(rng: random.Random, file: Path) -> str:
    lines = file.read_text().splitlines()
    place = rng.randrange(len(lines))
    change = rng.choice(("left out", "twice", "cut off", "of another kind", "wrong", "wrong", "wrong"))
    match change:
        case "left out":
            del lines[place]
        case "twice":
            lines.insert(place, lines[place])
        case "cut off":
            lines[place] = lines[place][: rng.randrange(len(lines[place]))]
        case "of another kind":
            lines[place] = rng.choice(("[]", "null", "{}", "5", "[" * 100_000, '"\\ud800"', "9" * 5000))
        case "wrong":
            lines[place], change = with_wrong_json(json.loads(lines[place]), rng)
    file.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))
    return f"line {place + 1}: {change}"


def _edit_tensors(rng: random.Random, file: Path) -> str:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata() or {}
    tensors = load_file(file)
    name = rng.choice(list(tensors))
    tensor = tensors.pop(name)
    others: dict[str, Any] = {
        "missing": {},
        "a little more": {name: tensor + 1e-3},
        "NaN": {name: tensor * float("nan")},
        "of type double": {name: tensor.double()},
        "flat": {name: tensor.flatten()[None]},
        "empty": {name: torch.zeros(0)},
        "named otherwise": {rng.choice((f"{name}/x", f"optimizer/{name}", f"optimizer/0/{name}", "x", "")): tensor},
        "of a client that does not exist": {name: tensor, "optimizer/99/0/step": torch.ones(())},
    }
    change = rng.choice([*others, *(["another round"] * 2 if "round" in metadata else [])])
    if change == "another round":
        metadata["round"] = rng.choice(("0", "1", "3", "-1", "x", "9" * 5000, "1.0", ""))
        change = f"round {metadata['round'][:10]!r}"
    save_file({**tensors, **others.get(change, {name: tensor})}, file, metadata)
    return f"{name}: {change}"


KINDS = {"results": Kind(prepare_runs, _folder)}
