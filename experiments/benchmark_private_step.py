"""Time one step of DP-SGD against the plain step: the same model, batch and optimiser, in turns, in one run.

The digits model of `digits.yaml` at its batch size, and the head of `planes_vs_cars_256.yaml` (25088-256-4) on random
numbers. A step is the gradients and what the optimiser does with them. Each turn gives one ratio, of the fastest steps,
which other work on the computer disturbs least; printed is their mean with its 95% interval, with simulated noise and
with noise of the system's generator.

    python experiments/benchmark_private_step.py
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from parts.command_line import ScriptParser, experiment_file, positive, run_script

from qiskit_fedqml import load_experiment
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.federation.clients.optimizers import make_optimizer
from qiskit_fedqml.federation.steps.dp_sgd import DpSgd
from qiskit_fedqml.federation.steps.minibatch import Minibatch
from qiskit_fedqml.federation.steps.step import ClientStep
from qiskit_fedqml.files import write_text
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.results.provenance import git_commit, versions
from qiskit_fedqml.study.statistics import mean_interval
from qiskit_fedqml.tables import markdown_table

PLAIN = "plain"
WIDTHS = {"digits": 64, "planes_vs_cars_256": 25088}
"""Features of an example, by experiment file."""
OPTIONS = {"noise_multiplier": 1.0, "max_norm": 1.0, "sampling_rate": 0.1}
WARM_UP = 3


def private(batch_size: int, randomness: str) -> ClientStep:
    """Return DP-SGD's step of one task."""
    config = PrivacyConfig.model_validate({"delta": 1e-5, "randomness": randomness, "examples": OPTIONS})
    return DpSgd(config, batch_size).for_task(1, 1, 0)


def taking(name: str, num_features: int, batch: int | None, step_of: Callable[[int], ClientStep]) -> Callable[[], None]:
    """Return what takes one step with a model of its own.

    Args:
        name: The experiment file.
        num_features: Features of an example.
        batch: Examples of the batch; None is the file's.
        step_of: Gives the client step for a batch size.
    """
    experiment = load_experiment(experiment_file(name))
    config, classes = experiment.federation, 4 if name == "digits" else 2
    batch = batch or config.batch_size
    moments = np.zeros(num_features), np.ones(num_features)
    blueprint = Blueprint.of(1, experiment.model, num_features, classes, moments)
    registry = BackendRegistry.from_mapping({"backends": {"ideal": {"type": "aer"}}})
    model = blueprint.build(blueprint.layer_on(registry["ideal"]), initial_head=True).train()
    model.use_dropout_generator(torch.Generator().manual_seed(1))
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer, step, start = make_optimizer(config, parameters, 1, {}), step_of(batch), model.trainable_state()
    rng = np.random.default_rng(1)
    features = torch.from_numpy(rng.normal(size=(batch, num_features)).astype(np.float32))
    labels = torch.from_numpy(rng.integers(classes, size=batch))

    def take() -> None:
        optimizer.zero_grad()
        step.add_gradients(model, start, features, labels)
        optimizer.step()

    return take


def in_turns(ways: dict[str, Callable[[], None]], turns: int, steps: int) -> dict[str, list[float]]:
    """Return each turn's milliseconds of the fastest step, by way."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns):
        for name, take in ways.items():
            for _ in range(WARM_UP if turn == 0 else 1):
                take()
            seconds = []
            for _ in range(steps):
                started = time.perf_counter()
                take()
                seconds.append(time.perf_counter() - started)
            found[name].append(1000 * min(seconds))
    return found


def main() -> None:
    """Time all, print the table, and write the turns."""
    parser = ScriptParser(__file__, __doc__, smallest={"turns": 3, "steps": 2, "wide_batch": 2})
    parser.add_argument("--turns", type=positive, default=10, help="turns of each way (default: %(default)s)")
    parser.add_argument("--steps", type=positive, default=50, help="steps of a turn (default: %(default)s)")
    parser.add_argument("--threads", type=positive, default=1, help="of torch, as workers have (default: %(default)s)")
    parser.add_argument("--wide-batch", type=positive, help="examples for the wide head (default: its file's)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows, lines = [], []
    for name, num_features in WIDTHS.items():
        is_wide = num_features > 1000
        batch = options.wide_batch if is_wide else None
        ways: dict[str, Callable[[int], ClientStep]] = {PLAIN: lambda _: Minibatch()}
        for randomness in ("simulated", "system"):
            ways[f"DP-SGD, {randomness} noise"] = lambda size, randomness=randomness: private(size, randomness)
        takes = {way: taking(name, num_features, batch, step_of) for way, step_of in ways.items()}
        found = in_turns(takes, options.turns, max(2, options.steps // 20) if is_wide else options.steps)
        for way, times in found.items():
            ratios = [time / plain for time, plain in zip(times, found[PLAIN], strict=True)]
            interval = mean_interval(ratios)
            ends = f"{interval.low:.2f} to {interval.high:.2f}" if interval.has_ends else "–"
            rows.append(
                {
                    "Model": name,
                    "Step": way,
                    "Fastest, median of turns": f"{statistics.median(times):.3f} ms",
                    "Times the plain step": "1" if way == PLAIN else f"{interval.mean:.2f} ({ends})",
                }
            )
            lines.append({"model": name, "step": way, "turns_ms": times, "times_plain": interval.mean})
    print(markdown_table(rows))
    options.out.mkdir(parents=True, exist_ok=True)
    write_text(options.out / "private_step.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    facts = {
        "command": "python " + " ".join(sys.argv),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "git_commit": git_commit(),
    }
    write_text(options.out / "private_step.json", json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    run_script(main)
