"""How much one client changes the sum that DP-FedAvg adds noise to, by the norm that bounds it; at most 1.

    python experiments/sensitivity.py --rounds 10000 --seed 1

In each round a client is added to others, and both sums are compared, as the rule itself makes them, after the server's
checks. Updates are drawn at random or made to be bad: as long as the bound to the last bit, huge, tiny, not finite, of
many tensors, all along one line, against each other, or of any number of examples. Prints the largest ratio of each
kind (results.md), writes all of them to ratios.csv, and ends with 1 if one is above 1.
"""

import csv
import math
import sys
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields

import numpy as np
import torch
from parts.command_line import ScriptParser, positive, run_script

from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.federation.messages import ClientUpdate, State, Status
from qiskit_fedqml.federation.rules.dp_fedavg import DPFedAvg
from qiskit_fedqml.federation.states import difference, squared_norm
from qiskit_fedqml.federation.validation import validated
from qiskit_fedqml.tables import markdown_table

Draw = Callable[[np.random.Generator, int, float], np.ndarray]
"""Makes an update of so many numbers, given the norm that bounds it."""


def _random(rng: np.random.Generator, size: int, norm: float) -> np.ndarray:
    return rng.normal(size=size) * norm * 10.0 ** rng.uniform(-3, 3)


def _at_the_bound(rng: np.random.Generator, size: int, norm: float) -> np.ndarray:
    change = rng.normal(size=size)
    return change * (norm / np.linalg.norm(change)) * (1 + rng.integers(-4, 5) * 2.0 ** rng.choice([-53, -24]))


def _huge(rng: np.random.Generator, size: int, norm: float) -> np.ndarray:
    return rng.choice([-1.0, 1.0], size=size) * 10.0 ** rng.uniform(30, 308)


def _tiny(rng: np.random.Generator, size: int, norm: float) -> np.ndarray:
    return rng.normal(size=size) * 10.0 ** rng.uniform(-323, -38)


def _zero(rng: np.random.Generator, size: int, norm: float) -> np.ndarray:
    return np.zeros(size)


def _not_finite(rng: np.random.Generator, size: int, norm: float) -> np.ndarray:
    change = _random(rng, size, norm)
    change[rng.integers(size)] = rng.choice([math.nan, math.inf, -math.inf])
    return change


def _along_a_line(rng: np.random.Generator, size: int, norm: float) -> np.ndarray:
    return np.linspace(0.3, 1.0, size) * norm * 10.0 ** rng.uniform(0, 6)


def _against_each_other(rng: np.random.Generator, size: int, norm: float) -> np.ndarray:
    return rng.choice([-1.0, 1.0]) * _along_a_line(rng, size, norm)


def _one_number(rng: np.random.Generator, size: int, norm: float) -> np.ndarray:
    change = np.zeros(size)
    change[rng.integers(size)] = norm * 10.0 ** rng.uniform(-1, 20)
    return change


KINDS: dict[str, Draw] = {
    draw.__name__.strip("_").replace("_", " "): draw
    for draw in (
        *(_random, _at_the_bound, _huge, _tiny, _zero, _not_finite, _along_a_line),
        *(_against_each_other, _one_number),
    )
}
MIXED = "mixed"


@dataclass(frozen=True)
class Case:
    """A round with and without a client.

    Args:
        kind: Of its updates.
        clients: The others.
        numbers: Of the model.
        tensors: Of the model.
        norm: The largest norm.
        ratio: How much the client changes the sum, by the norm.
        count_ratio: How much it changes the number of short updates, by ½.
    """

    kind: str
    clients: int
    numbers: int
    tensors: int
    norm: float
    ratio: float
    count_ratio: float


def measure(rounds: int, seed: int) -> list[Case]:
    """Measure rounds, of each kind in turn.

    Args:
        rounds: How many.
        seed: From which updates derive.
    """
    kinds = [*KINDS, MIXED]
    return [_measured(kinds[number % len(kinds)], np.random.default_rng([seed, number])) for number in range(rounds)]


def _measured(kind: str, rng: np.random.Generator) -> Case:
    norm = float(10.0 ** rng.uniform(-6, 6))
    model = _model(rng)
    draws = list(KINDS.values()) if kind == MIXED else [KINDS[kind]]
    num_clients = int(rng.integers(0, 8 if rng.random() < 0.9 else 50))
    updates = [_update(rng, client, model, draws[rng.integers(len(draws))], norm) for client in range(num_clients + 1)]
    without = [*updates]
    without.pop(rng.integers(len(updates)))
    adaptive = {"count_noise": 1.0}
    options = {"noise_multiplier": 1.0, "max_norm": norm, "adaptive": adaptive}
    rule = DPFedAvg(PrivacyConfig(delta=1e-5, randomness="simulated", clients=options), 10, seed=0)
    sums, counts = zip(*(_released(rule, model, some) for some in (updates, without)), strict=True)
    change = difference(*sums)
    largest = max(float(tensor.abs().max()) for tensor in change.values())
    scaled = {name: tensor / largest for name, tensor in change.items()} if largest else change
    ratio = largest * math.sqrt(squared_norm(scaled)) / norm
    numbers = sum(tensor.numel() for tensor in model.values())
    return Case(kind, num_clients, numbers, len(model), norm, ratio, abs(counts[0] - counts[1]) / 0.5)


def _model(rng: np.random.Generator) -> State:
    dtype = torch.float64 if rng.random() < 0.3 else torch.float32
    scale = 10.0 ** rng.uniform(-3, 3) * (rng.random() < 0.7)
    num_tensors = int(rng.integers(1, 6 if rng.random() < 0.9 else 60))
    shapes = [tuple(rng.integers(1, 12, size=rng.integers(1, 3))) for _ in range(num_tensors)]
    return {str(n): torch.from_numpy(scale * rng.normal(size=shape)).to(dtype) for n, shape in enumerate(shapes)}


def _update(rng: np.random.Generator, client: int, model: State, draw: Draw, norm: float) -> ClientUpdate:
    change = draw(rng, sum(tensor.numel() for tensor in model.values()), norm)
    state, start = {}, 0
    for name, tensor in model.items():
        part = torch.from_numpy(change[start : start + tensor.numel()]).reshape(tensor.shape)
        state[name], start = (tensor.double() + part).to(tensor.dtype), start + tensor.numel()
    examples = int(rng.choice([0, 1, 10**12]))
    return ClientUpdate(client, "ideal", "aer", examples, 0.0, 0.0, Usage(), Status.OK, state=state)


def _released(rule: DPFedAvg, model: State, updates: list[ClientUpdate]) -> tuple[State, float]:
    """Return what the rule adds noise to: the sum, and the number of short updates less half of all."""
    rule.start(model)
    for update in validated(updates, model, None):
        if update.state is not None:
            rule.add(update, 1.0)
    return rule.total(), rule.excess


def main() -> None:
    """Measure, print and keep."""
    parser = ScriptParser(__file__, __doc__, smallest={"rounds": 60})
    parser.add_argument("--rounds", type=positive, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="from which updates derive (default: %(default)s)")
    arguments = parser.parse_args()
    cases = measure(arguments.rounds, arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "ratios.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([[of.name for of in fields(Case)], *map(astuple, cases)])
    rows = [_row(kind, [case for case in cases if case.kind == kind]) for kind in (*KINDS, MIXED)]
    table = markdown_table([*rows, _row("all", cases)])
    (arguments.out / "results.md").write_text(table, encoding="utf-8")
    print(table)
    if max(max(case.ratio, case.count_ratio) for case in cases) > 1:
        sys.exit("A client changed more than the bound allows.")


def _row(kind: str, cases: list[Case]) -> dict[str, str]:
    return {
        "Updates": kind,
        "Rounds": f"{len(cases):,}",
        "Largest change of the sum, by the norm": f"{max((case.ratio for case in cases), default=0.0):.12f}",
        "Of the number of short updates, by ½": f"{max((case.count_ratio for case in cases), default=0.0):.3f}",
    }


if __name__ == "__main__":
    run_script(main)
