"""Fuzzed calibrations: JSON that is none, and figures that are missing or wrong."""

import json
import os
import random
from pathlib import Path

import numpy as np
import yaml

from parts.fuzz_cases import TINY, Case, DifferentError, Kind, damaged, with_wrong_json
from qiskit_fedqml import load_experiment, run_federation
from qiskit_fedqml.backends.calibration import fake_calibration


def _prepare_calibration(base: Path) -> None:
    fake_calibration("FakeManilaV2").save(base / "manila.json")


def _calibration(rng: random.Random, base: Path, folder: Path) -> Case:
    content = (base / "manila.json").read_bytes()
    path = folder / "calibration.json"
    action = rng.random()
    if action < 0.6:
        text, change = with_wrong_json(json.loads(content), rng)
        changed: bytes | None = text.encode("utf-8", "surrogatepass")
    elif action < 0.85:
        changed, change = damaged(content, rng)
    else:
        odd = {
            "empty": b"",
            "a list": b"[]",
            "null": b"null",
            "nothing in it": b"{}",
            "BOM": b"\xef\xbb\xbf" + content,
            "UTF-16": content.decode().encode("utf-16"),
            "deep": b"[" * 100_000,
            "deep and whole": b'{"configuration": ' + b"[" * 5000 + b"]" * 5000 + b"}",
            "a huge number": b'{"configuration": ' + b"9" * 5000 + b"}",
            "10 MB": content[:-2] + b" " * 10_000_000 + b"}",
        }
        change = rng.choice([*odd, "a folder", "a pipe", "a link to itself", "missing"])
        changed = odd.get(change)
    match changed, change:
        case None, "a folder":
            path.mkdir()
        case None, "a pipe":
            os.mkfifo(path)
        case None, "a link to itself":
            path.symlink_to(path)
        case None, _:
            pass
        case _:
            path.write_bytes(changed)
    entry = {"type": "aer", "noise": {"calibration": "calibration.json"}, "noise_factor": rng.choice((1.0, 2.0, 1e6))}
    array = {"backends": {"ideal": {"type": "aer"}, "saved": entry}, "assignment": {"default": "saved"}}
    one = {**TINY["federation"], "clients": 50, "clients_per_round": 1, "rounds": 1}
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump({**TINY, "federation": one, "backends": array}))
    return Case(f"{change}; noise factor {entry['noise_factor']:g}", lambda: _train(file))


def _train(file: Path) -> None:
    result = run_federation(load_experiment(file))
    if not np.isfinite(result.rounds[-1].test_loss):
        raise DifferentError("the loss is not finite")


KINDS = {"calibration": Kind(_prepare_calibration, _calibration)}
