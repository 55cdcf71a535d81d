"""Digests of eight runs: two versions of the package that print the same lines compute the same bits.

A line holds a run's name, the SHA-256 of its final model, and that of its records without times, memory and job ids::

    python experiments/same_bits.py > before.txt      # at one commit
    python experiments/same_bits.py > after.txt       # at another, with the same packages, threads and processor
    diff before.txt after.txt

The run on images needs the data and weights in ``$FEDQML_DATA``; without them it is left out, and a line says so.
"""

import argparse
import json
import os
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qiskit_fedqml import RunResult, load_experiment, run_federation

HERE = Path(__file__).resolve().parent
DIGITS = HERE / "digits.yaml"
NOISY = {"backends": HERE.parent / "backends.yaml"}
REHEARSAL = {
    "backends": {
        "backends": {"ideal": {"type": "aer"}, "manila": {"type": "ibm", "device": "FakeManilaV2", "shots": 64}},
        "assignment": {"default": "ideal", "clients": {"0-9": "manila"}},
    },
    "data.classes": [0, 1],
    "federation.batch_size": 32,
    "federation.rounds": 2,
}
RUNS = {
    "digits ideal": (DIGITS, {}),
    "noisy array with shots": (DIGITS, NOISY),
    "non-federated": (DIGITS, {"federation.clients": 1, "federation.clients_per_round": 1}),
    "FedProx, FedAdam, kept optimisers": (
        DIGITS,
        {
            "federation.proximal_mu": 0.1,
            "federation.client_optimizer_state": "keep",
            "aggregation.server_optimizer": {"method": "fedadam"},
        },
    ),
    "circular": (DIGITS, {"aggregation.angles": "circular"}),
    "noise-aware": (DIGITS, {**NOISY, "aggregation.success_exponent": 4.0}),
    "rehearsal": (DIGITS, REHEARSAL),
    "planes vs cars, width 256": (HERE / "planes_vs_cars_256.yaml", {"federation.rounds": 5}),
}


OF_THE_MOMENT = {
    *("seconds", "started_seconds", "evaluation_seconds", "peak_memory_bytes", "jobs", "server_jobs", "qpu_seconds"),
}
"""Keys of records that differ from run to run."""


def digests(run: RunResult, folder: Path) -> tuple[str, str]:
    """Return the SHA-256 of a run's final tensors, and of its records as its folder has them."""
    tensors = sha256()
    for name, tensor in sorted(run.state.items()):
        tensors.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        tensors.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    records = json.dumps([_lasting(record.as_json()) for record in RunResult.load(folder).rounds], sort_keys=True)
    return tensors.hexdigest(), sha256(records.encode()).hexdigest()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(inner) for key, inner in value.items() if key not in OF_THE_MOMENT}
    return [_lasting(inner) for inner in value] if isinstance(value, list) else value


def main() -> None:
    """Run them and print their digests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="at most so many rounds of each")
    parser.add_argument("--only", metavar="TEXT", default="", help="only the runs with this text in their name")
    parser.add_argument("--smallest", action="store_true", help="two rounds of each, for tests")
    arguments = parser.parse_args()
    if arguments.smallest:
        arguments.rounds = 2
    for name, (path, values) in RUNS.items():
        if arguments.only not in name:
            continue
        overrides = dict(values)
        if arguments.rounds is not None:
            overrides["federation.rounds"] = arguments.rounds
        if "planes" in name and not (Path(os.environ.get("FEDQML_DATA", "")) / "data/planes_vs_cars.npz").exists():
            print(f"{name}: left out, $FEDQML_DATA has no data/planes_vs_cars.npz", flush=True)
            continue
        with TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            model, records = digests(run_federation(load_experiment(path, overrides), out), out)
        print(f"{name}: model {model} records {records}", flush=True)


if __name__ == "__main__":
    main()
