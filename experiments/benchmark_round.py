"""Time what a round costs besides training: sampling, tasks, the average, the record, and the checkpoint.

In each round 5 of 100 clients return a model without training it, and no test of the aggregate is made; what tests and
checkpoints cost is timed in runs of their own. All ways are measured in turns of one run; the median round of each
counts, from the start of one round to the start of the next, with its ratio to the bare average of 5 such models::

    python experiments/benchmark_round.py

- *the server alone*: an executor of its own returns five models that were made before;
- *with the clients' handling*: the package's executor lets each client load the model, read its batches, step its
  optimiser without gradients, and return a copy, as it does around any training;
- *with records*, *with records and checkpoints*: the server alone, with a result folder on disk;
- *with tests*: the server alone, testing the aggregate on 144 digits.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from parts.command_line import ScriptParser, positive, run_script

from qiskit_fedqml import load_experiment
from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, States, Status
from qiskit_fedqml.federation.runs.assembly import Federation, assemble
from qiskit_fedqml.federation.runs.evaluator import Evaluator, Test
from qiskit_fedqml.federation.runs.run import run_assembled
from qiskit_fedqml.files import write_text
from qiskit_fedqml.model.classifier import HybridClassifier
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.provenance import versions
from qiskit_fedqml.results.writer import RunWriter
from qiskit_fedqml.tables import markdown_table

CLIENTS, CHOSEN = 100, 5
ALONE = "the server alone"
HANDLING = "with the clients' handling"
RECORDS = "with records"
CHECKPOINTS = "with records and checkpoints"
TESTS = "with tests"
BARE = "bare average of 5 models"


class Returns:
    """An executor whose clients return models that were made before.

    Args:
        states: One model for each client of a round.
    """

    def __init__(self, states: Sequence[State]) -> None:
        self.states = states

    def run(self, tasks: Sequence[ClientTask]) -> Iterator[ClientUpdate]:
        """Give each task's update."""
        for task, state in zip(tasks, self.states, strict=True):
            yield ClientUpdate(task.client_id, task.backend, "none", 5, 1.0, 0.0, Usage(), Status.OK, state=state)

    def stop(self) -> None:
        """Do nothing: nothing waits."""


class NoTraining:
    """A client step that reads its batches and computes nothing."""

    def batches(self, num_examples: int, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Give shuffled batches."""
        order = rng.permutation(num_examples)
        return (order[start : start + batch_size] for start in range(0, num_examples, batch_size))

    def add_gradients(
        self, model: HybridClassifier, start: State, features: torch.Tensor, labels: torch.Tensor
    ) -> float:
        """Leave no gradient."""
        return 1.0


@dataclass
class NoTests:
    """An evaluator that tests nothing.

    Args:
        of: The one that would.
    """

    of: Evaluator
    validation: tuple[int, ...] = ()

    @property
    def model(self) -> HybridClassifier:
        """The model that would be tested."""
        return self.of.model

    def test_model(self, model: State, server_step: int, backend: str | None = None) -> Test:
        """Return a test that was not made."""
        return Test(1.0, 0.5, {}, self.confusion_of(model, server_step), Usage(), "", None)

    def confusion_of(self, model: State, server_step: int) -> NDArray[np.int64]:
        """Return a confusion matrix of no examples."""
        return np.zeros((1, 1), dtype=np.int64)


class RecordsOnly(RunWriter):
    """Writes a result folder without checkpoints."""

    def save_checkpoint(self, values: dict[str, object], states: States, *, keep: int) -> None:
        """Write none."""


@dataclass
class Clock:
    """An observer that notes when each round starts."""

    started: list[float] = field(default_factory=list)

    def features_extracted(self, what: str, done: int, total: int) -> None:
        """Note nothing."""

    def round_started(self, round: int, num_rounds: int, num_clients: int) -> None:
        """Note the time."""
        self.started.append(time.perf_counter())

    def client_finished(self, client: ClientUpdate) -> None:
        """Note nothing."""

    def job_waiting(self, job: object) -> None:
        """Note nothing."""

    def round_finished(self, record: object) -> None:
        """Note nothing."""


def put_together(experiment: Experiment, way: str, clock: Clock) -> Federation:
    """Return a federation whose clients do not train."""
    federation = assemble(experiment, clock, None)  # type: ignore[arg-type]
    if way == HANDLING:
        federation.executor.worker.step = NoTraining()  # type: ignore[attr-defined]
    else:
        model = federation.initial.model
        federation.executor = Returns([{name: tensor + k for name, tensor in model.items()} for k in range(CHOSEN)])
    if way != TESTS:
        federation.evaluator = NoTests(federation.evaluator)  # type: ignore[assignment]
    return federation


def take_turn(experiment: Experiment, way: str, rounds: int) -> list[float]:
    """Return the seconds of each round but the first two, in which memory is laid out."""
    clock = Clock()
    experiment = experiment.with_rounds(rounds + 3)
    federation = put_together(experiment, way, clock)
    if way not in (RECORDS, CHECKPOINTS):
        run_assembled(federation)
    else:
        with TemporaryDirectory() as folder:
            writer = (RunWriter if way == CHECKPOINTS else RecordsOnly)(RunFolder(Path(folder) / "run"))
            try:
                writer.claim(overwrite=False)
                run_assembled(federation, writer)
            finally:
                writer.release()
    return np.diff(clock.started)[2:].tolist()


def bare_average(experiment: Experiment, rounds: int) -> list[float]:
    """Return the seconds of averages by torch alone, of the same five models."""
    model = assemble(experiment, None, None).initial.model
    states = [[tensor + k for tensor in model.values()] for k in range(CHOSEN)]
    seconds = []
    for _ in range(rounds + 2):
        started = time.perf_counter()
        average = [tensor.clone() for tensor in states[0]]
        for count, state in enumerate(states[1:], start=2):
            for mean, tensor in zip(average, state, strict=True):
                mean.lerp_(tensor, 1 / count)
        seconds.append(time.perf_counter() - started)
    return seconds[2:]


def measure(hidden: Sequence[int], turns: int, rounds: int) -> tuple[int, dict[str, list[float]]]:
    """Return the number of parameters, and the seconds of the rounds of each way."""
    settings = {"model.hidden": list(hidden), "federation.clients": CLIENTS, "federation.clients_per_round": CHOSEN}
    experiment = load_experiment(Path(__file__).with_name("digits.yaml"), settings)
    seconds: dict[str, list[float]] = {way: [] for way in (BARE, ALONE, HANDLING, RECORDS, CHECKPOINTS, TESTS)}
    for _ in range(turns):
        for way in seconds:
            gc.collect()  # the large models of the turn before
            seconds[way] += bare_average(experiment, rounds) if way == BARE else take_turn(experiment, way, rounds)
    count = sum(tensor.numel() for tensor in assemble(experiment, None, None).initial.model.values())
    return count, seconds


def main() -> None:
    """Measure, print, and write the figures."""
    parser = ScriptParser(__file__, __doc__, smallest={"turns": 1, "rounds": 3, "small": [145], "large": [500]})
    parser.add_argument("--turns", type=positive, default=3, help="times that each way is run (default: %(default)s)")
    parser.add_argument("--rounds", type=positive, default=100, help="of the small model (default: %(default)s)")
    parser.add_argument("--small", type=positive, nargs="+", default=[145], help="widths of the small model's head")
    parser.add_argument("--large", type=positive, nargs="+", default=[7050, 7000], help="widths of the large one's")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for hidden, rounds in ((options.small, options.rounds), (options.large, max(3, options.rounds // 20))):
        count, seconds = measure(hidden, options.turns, rounds)
        medians = {way: statistics.median(found) for way, found in seconds.items()}
        print(f"\nA round of {CHOSEN} of {CLIENTS} clients, {count:,} parameters, no training\n")
        print(markdown_table([_row(way, seconds[way], medians[BARE]) for way in seconds]), flush=True)
        lines.append({"parameters": count, "median_ms": {way: 1000 * median for way, median in medians.items()}})
    facts = {"command": "python " + " ".join(sys.argv), "threads": torch.get_num_threads(), "versions": versions()}
    text = "".join(json.dumps({**line, **facts}) + "\n" for line in lines)
    write_text(options.out / "round.jsonl", text)
    print(f"\nFigures: {options.out}")


def _row(way: str, seconds: Sequence[float], bare: float) -> dict[str, str]:
    median = statistics.median(seconds)
    return {
        "Round": way,
        "Median": f"{1000 * median:,.2f} ms",
        "Range": f"{1000 * min(seconds):,.2f} to {1000 * max(seconds):,.2f} ms",
        "Times the bare average": f"{median / bare:,.1f}",
    }


if __name__ == "__main__":
    run_script(main)
