"""What a curious server can tell of who was trained on: an audit of example-level privacy by membership inference.

Each of 240 canaries, digits with a wrong label and a feature that no other digit has, is in the training data or not,
by a coin each. The server sees all that it gets in a run: the models of all rounds, and each client's updates. It
guesses which canaries were trained on, from the gradient of each at each round's model. How often it is right bounds ε
from below with 95% confidence (Steinke, Nasr and Jagielski, 2023, arXiv:2305.08846); the bound must not be above the ε
that the accountant states. The same attack without noise shows what it can do.

    python experiments/privacy_audit.py --seeds 5
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from parts.audit import WATCHED, Canaries, guessed, scores, watched
from parts.command_line import ScriptParser, run_script
from sklearn.metrics import roc_auc_score
from torch.utils.data import TensorDataset

from qiskit_fedqml import Experiment, run_federation
from qiskit_fedqml.data.digit_pixels import digit_pixels
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.runs.own_parts import with_own_parts
from qiskit_fedqml.privacy.accountant import noise_for
from qiskit_fedqml.tables import markdown_table

DELTA = 1e-5
CLIENTS, RATE, ROUNDS, EPOCHS = 4, 1.0, 10, 1
NUM_TEST, NUM_CANARIES, OWN_FEATURE = 144, 240, 30.0
TARGETS = {"no noise": None, "ε = 8": 8.0, "ε = 3": 3.0, "ε = 1": 1.0}
"""The runs: without privacy, and with what they may spend at most."""


def experiment_of(epsilon: float | None, seed: int, rounds: int) -> Experiment:
    """Return the run of a seed."""
    steps = rounds * EPOCHS * round(1 / RATE)
    private: dict[str, Any] = {}
    if epsilon is not None:
        noise = noise_for(epsilon, DELTA, RATE, steps)
        level = {"noise_multiplier": noise, "max_norm": 1.0, "sampling_rate": RATE}
        private = {"privacy": {"delta": DELTA, "epsilon": epsilon, "randomness": "simulated", "examples": level}}
    values = {
        "seed": seed,
        "data": {"dataset": "digits", "classes": [0, 1, 2, 3], "test_fraction": 0.2},
        "model": {"hidden": [16], "dropout": 0.0},
        "federation": {
            **{"clients": CLIENTS, "clients_per_round": CLIENTS, "rounds": rounds, "local_epochs": EPOCHS},
            **{"batch_size": 115, "optimizer": "sgd", "learning_rate": 1.0},
        },
        "aggregation": {"weights": "uniform"},
        **private,
    }
    return Experiment.model_validate(values)


@dataclass(frozen=True)
class Digits:
    """Digits with canaries among them.

    Args:
        features: Of all digits: their pixels, and one for each canary, which is 0 for all others.
        labels: Theirs; a canary's is wrong, so that what is learned of it is learned from it alone.
        is_test: Which are the server's.
        is_canary: Which are trained on or not, by a coin each.
        is_member: Which are trained on.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    is_test: NDArray[np.bool_]
    is_canary: NDArray[np.bool_]
    is_member: NDArray[np.bool_]

    @classmethod
    def of(cls, seed: int) -> "Digits":
        """Draw test digits, canaries and coins."""
        pixels, digits = digit_pixels()
        chosen = digits < 4
        labels, rng = digits[chosen], np.random.default_rng(seed)
        order = rng.permutation(len(labels))
        is_test, is_canary = np.zeros((2, len(labels)), bool)
        is_test[order[:NUM_TEST]] = True
        is_canary[order[NUM_TEST : NUM_TEST + NUM_CANARIES]] = True
        labels = np.where(is_canary, (labels + rng.integers(1, 4, len(labels))) % 4, labels)
        is_member = ~is_test & (~is_canary | (rng.random(len(labels)) < 0.5))
        own = np.zeros((len(labels), NUM_CANARIES))
        own[is_canary] = OWN_FEATURE * np.eye(NUM_CANARIES)
        features = np.hstack([pixels[chosen] / 16, own]).astype(np.float32)
        return cls(features, labels, is_test, is_canary, is_member)

    def at(self, rows: NDArray[np.bool_]) -> TensorDataset:
        """Return the digits of some rows."""
        return TensorDataset(torch.from_numpy(self.features[rows]), torch.from_numpy(self.labels[rows]))


def audited(name: str, seed: int, rounds: int) -> dict[str, Any]:
    """Run a seed, guess, and return what came of it."""
    digits = Digits.of(seed)
    owners = np.arange(len(digits.labels)) % CLIENTS
    data = [digits.at(digits.is_member & (owners == client)) for client in range(CLIENTS)], digits.at(digits.is_test)
    experiment = experiment_of(TARGETS[name], seed, rounds)
    result = run_federation(experiment, data=data, rule=watched, progress=False)
    federation = assemble(with_own_parts(experiment, {"data": data}), None, None)
    rows = np.flatnonzero(digits.is_canary)
    own = digits.features.shape[1] - NUM_CANARIES + np.arange(NUM_CANARIES)
    canaries = Canaries(digits.features[rows], digits.labels[rows], own, owners[rows])
    found = scores(WATCHED.pop(), federation.evaluator.model, canaries)
    is_member = digits.is_member[rows]
    guesses = guessed(found, is_member, len(rows) // 4)
    return {
        **{"run": name, "seed": seed, "rounds": rounds, "epsilon": result.final.epsilon},
        **{"canaries": guesses.candidates, "guesses": guesses.guesses, "right": guesses.right},
        **{"bound": guesses.epsilon(DELTA), "auc": float(roc_auc_score(is_member, found))},
        "accuracy": result.final.test_accuracy,
    }


def together(lines: list[dict[str, Any]]) -> dict[str, str]:
    """Return a row of the table for the seeds of a run; their coins are independent, so their guesses add up.

    A run of each seed is one mechanism; the product of so many has a larger ε, so only single seeds bound it.
    """
    rights = [line["right"] / line["guesses"] for line in lines]
    spent = [line["epsilon"] for line in lines if line["epsilon"] is not None]
    return {
        "Run": lines[0]["run"],
        "ε of the accountant": f"{max(spent):.3f}" if spent else "",
        "Largest bound below": f"{max(line['bound'] for line in lines):.3f}",
        "Right guesses": f"{np.mean(rights):.1%} ({min(rights):.1%} to {max(rights):.1%})",
        "AUC": f"{np.mean([line['auc'] for line in lines]):.3f}",
        "Accuracy": f"{np.mean([line['accuracy'] for line in lines]):.1%}",
        "Seeds": str(len(lines)),
    }


def main() -> None:
    """Audit what is not audited yet, and write what all of it shows."""
    parser = ScriptParser(__file__, __doc__, smallest={"seeds": 1, "rounds": 1})
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each run (default: %(default)s)")
    arguments = parser.parse_args()
    path: Path = arguments.out / "audit.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(line["run"], line["seed"], line["rounds"]) for line in lines}
    for seed in range(1, arguments.seeds + 1):
        for name in TARGETS:
            if (name, seed, arguments.rounds) not in done:
                lines.append(audited(name, seed, arguments.rounds))
                with path.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    of = {
        name: [line for line in lines if (line["run"], line["rounds"]) == (name, arguments.rounds)] for name in TARGETS
    }
    print(markdown_table([together(found) for found in of.values()]))
    wrong = [line for line in lines if line["epsilon"] is not None and line["bound"] > line["epsilon"]]
    print(f"Runs in which the bound is above the accountant's ε: {len(wrong)} of {len(lines)}.")


if __name__ == "__main__":
    run_script(main)
