"""Fuzzed folders of a deployment's node: its configuration, its examples, its backend."""

import contextlib
import random
import re
import shutil
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from parts.fuzz_cases import TINY, Case, DifferentError, Kind, check_message, command, damaged
from parts.fuzz_checkpoints import put_anything
from parts.fuzz_documents import changed_document
from parts.fuzz_npz import wrong_arrays
from parts.fuzz_values import BACKENDS
from qiskit_fedqml import load_experiment
from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.federation.runs.assembly import assemble

_WORDS = (
    *(
        '""',
        '"x"',
        "-1",
        "0",
        "1",
        "0.5",
        "true",
        "[]",
        "[1]",
        "{a = 1}",
        "nan",
        "inf",
        "1e400",
        "9" * 30,
        "2001-01-01",
    ),
    *('"a\\u0000b"', '"/"', '"."', '"node.toml"', '"../none"', f'"{"x" * 5000}"', '"cuda"', '"/dev/zero"', '"\\u202e"'),
    *('"examples.npz"', '"backends.yaml"', '"saved"'),
)
"""Values as TOML has them, most of them wrong wherever they stand."""
_KEYS = ("client", "data", "backends", "backend", "folder", "weights", "device", "shard", '"a.b"')


def _prepare(base: Path) -> None:
    """Write a deployment, whose first client has a saved calibration."""
    fake_calibration("FakeManilaV2").save(base / "manila.json")
    entries = {key: BACKENDS["backends"][key] for key in ("ideal", "stated", "saved")}
    file = {"backends": entries, "assignment": {"clients": {0: "saved", 1: "stated"}, "default": "ideal"}}
    (base / "experiment.yaml").write_text(yaml.safe_dump({**TINY, "backends": file}))
    command("deploy", str(base / "experiment.yaml"), str(base / "deployment"), "--shards")


@cache
def _messages(base: Path) -> tuple[tuple[str, Any, type], ...]:
    """Return what the server sends: its question and a task, each with the kind of answer that it expects."""
    from qiskit_fedqml.flower.protocol import MODEL, SCALING, Answer, Introduction, Question, Work
    from qiskit_fedqml.flower.records import packed

    experiment = load_experiment(base / "experiment.yaml")
    federation = assemble(experiment, None, None)
    classes = federation.data.classes
    scaling = {"mean": torch.as_tensor(federation.data.mean), "deviation": torch.as_tensor(federation.data.deviation)}
    sections = {"features": experiment.features, "model": experiment.model, "federation": experiment.federation}
    work = Work(run="0" * 32, server_step=1, client=0, trains=True, kept=(), seed=5, classes=classes, **sections)
    question = packed(Question(features=experiment.features, classes=classes))
    task = packed(work, {MODEL: federation.initial.model, SCALING: scaling})
    return ("query", question, Introduction), ("train", task, Answer)


def _answers(base: Path, folder: Path) -> list[Any]:
    """Return what the node of a folder answers.

    Raises:
        FedQMLError: It refuses.
    """
    from qiskit_fedqml.flower.answering import Answering
    from qiskit_fedqml.flower.protocol import Failure
    from qiskit_fedqml.flower.records import kind_of, values_in
    from qiskit_fedqml.flower.texts import error_of

    config, answering, found = tomllib.loads((folder / "node.toml").read_text()), Answering(), []
    with contextlib.chdir(folder):
        for kind, records, wanted in _messages(base):
            answer = answering.answer(kind, config, records)
            if kind_of(answer) == "Failure":
                failure = values_in(answer, Failure)
                check_message(error := error_of(failure, "the node"))
                raise error
            found.append(values_in(answer, wanted).model_dump(mode="json", exclude={"seconds", "versions"}))
            found += [array.data for state in answer.array_records.values() for array in state.values()]
    return found


@cache
def _wanted(base: Path) -> list[Any]:
    return _answers(base, base / "deployment" / "client-0")


def _node(rng: random.Random, base: Path, place: Path) -> Case:
    folder = place / "node"
    shutil.copytree(base / "deployment" / "client-0", folder)
    _wanted(base)
    name = rng.choice(("node.toml", "node.toml", "examples.npz", "examples.npz", "backends.yaml", "calibration.json"))
    file, action = folder / name, rng.random()
    is_same = False
    if action < 0.2 and name != "node.toml":
        file.unlink()
        change = put_anything(rng, file) if rng.random() < 0.8 else "missing"
    elif name == "node.toml":
        change = _edit(rng, file)
    elif name == "backends.yaml" and action < 0.7:
        content, change = changed_document(yaml.safe_load(file.read_text()), rng)
        file.write_bytes(content)
    elif name == "examples.npz" and action < 0.6:
        with np.load(file) as arrays:
            content, change = wrong_arrays(dict(arrays), rng)
        file.write_bytes(content)
    else:
        content, change = damaged(file.read_bytes(), rng)
        file.write_bytes(content)
        is_same = name == "examples.npz"  # its archive has checksums

    def run() -> None:
        if _answers(base, folder) != _wanted(base) and is_same:
            raise DifferentError("the node's answers differ from those of the whole folder")

    return Case(f"{name}: {change}", run)


def _edit(rng: random.Random, file: Path) -> str:
    """Give one of the keys another value, or none; what is no TOML is Flower's to refuse."""
    text = file.read_text()
    key, word = rng.choice(_KEYS), rng.choice(_WORDS)
    text = re.sub(rf"^{re.escape(key)} = .*\n", "", text, flags=re.MULTILINE)
    if rng.random() < 0.1:
        file.write_text(text)
        return f"{key} left out"
    file.write_text(f"{text}{key} = {word}\n")
    return f"{key}: {word[:40]}"


KINDS = {"nodes": Kind(_prepare, _node)}
