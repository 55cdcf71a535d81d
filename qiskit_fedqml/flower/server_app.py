"""The app that the SuperLink runs: it begins a run on nodes, or resumes it from its folder at the next round."""

import logging
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from qiskit_fedqml.backends.devices.request import JobWaiting
from qiskit_fedqml.config.data import ClientSumsScaling
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.loading import load_experiment
from qiskit_fedqml.data.loading import load_dataset
from qiskit_fedqml.errors import FedQMLError
from qiskit_fedqml.federation.executors.executor import Executor
from qiskit_fedqml.federation.messages import ClientUpdate, State
from qiskit_fedqml.federation.runs.assembly import Federation
from qiskit_fedqml.federation.runs.remote import assemble_remote
from qiskit_fedqml.federation.runs.resuming import extend_federation, resume_federation
from qiskit_fedqml.federation.runs.run import run_assembled
from qiskit_fedqml.flower.executor import FlowerExecutor
from qiskit_fedqml.flower.federation import data_of, experiment_with
from qiskit_fedqml.flower.post import Post
from qiskit_fedqml.flower.protocol import Question
from qiskit_fedqml.flower.resuming import compare_versions, rounds_to_resume
from qiskit_fedqml.flower.roll import Roll
from qiskit_fedqml.flower.secure_executor import SecureExecutor
from qiskit_fedqml.flower.server_config import ServerConfig, config_or_error
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.progress.observer import Observer
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.results.writer import RunWriter
from qiskit_fedqml.tracking.tracking import check_tracking

logger = logging.getLogger(__name__)

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the experiment, or resume it."""
    _show_log()
    try:
        config = config_or_error(context.run_config)
        result = serve(grid, config, _Log())
    except FedQMLError as error:
        logger.error("The run has ended: %s", error)  # Flower writes the rest of the log, and that the run has failed
        raise
    logger.info("The run has its %d rounds; the result is in %s.", len(result.rounds), config.out)


def serve(grid: Grid, config: ServerConfig, observer: Observer | None) -> RunResult:
    """Run an experiment on nodes, or resume it where its result folder says.

    Args:
        grid: Flower's.
        config: What to run, and where the result goes.
        observer: Notified of what happens.

    Raises:
        FedQMLError: As :func:`~qiskit_fedqml.federation.runs.run.run_federation`; or a node cannot take part, is lost,
            or has other data or another machine than when the run began.
    """
    experiment, folder = load_experiment(config.experiment), RunFolder(Path(config.out))
    check_tracking(experiment.tracking, has_folder=True)
    dataset = load_dataset(experiment.data, experiment.seed)
    is_private = experiment.privacy is not None
    question = Question(features=experiment.features, classes=dataset.classes, is_private=is_private)
    needs_sums = isinstance(experiment.features.scaling, ClientSumsScaling)
    roll = Roll(Post(grid), question, experiment.federation.clients, needs_sums, config.start_seconds)
    members = roll.call()
    compare_versions(members)
    # A task of DP-SGD that is sent again would release other noise, which nobody has counted.
    attempts = config.attempts if experiment.expected_examples is None else 1
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        whole = experiment_with(experiment, members, temporary)
        data = data_of(experiment, dataset, members)

        def assembled(experiment: Experiment, observer: Observer | None, journal: Path | None) -> Federation:
            def make_executor(blueprint: Blueprint, model: State) -> Executor:
                scaling = {"mean": torch.as_tensor(data.mean), "deviation": torch.as_tensor(data.deviation)}
                nodes = FlowerExecutor(
                    roll=roll,
                    experiment=experiment,
                    classes=data.classes,
                    model=model,
                    scaling=scaling,
                    run_id=lambda: folder.proven_manifest().run_id,
                    round_seconds=config.round_seconds,
                    away_seconds=config.away_seconds,
                    attempts=attempts,
                )
                secure = experiment.aggregation.secure
                return nodes if secure is None else SecureExecutor(nodes, secure)

            return assemble_remote(experiment, data, make_executor, observer)

        if not folder.path.exists() or folder.is_empty:
            writer = RunWriter(folder)
            stack.callback(writer.release)
            writer.claim(overwrite=False)
            return run_assembled(assembled(whole, observer, None), writer)
        rounds = rounds_to_resume(folder, whole)
        if rounds is not None:
            return extend_federation(folder.path, rounds, observer=observer, assembled=assembled)
        return resume_federation(folder.path, observer=observer, assembled=assembled)


class _Log:
    """Writes what happens into the log, which `flwr log` shows."""

    def features_extracted(self, what: str, done: int, total: int) -> None:
        """Say nothing: it is fast, or cached."""

    def round_started(self, round: int, num_rounds: int, num_clients: int) -> None:
        """Say that a round starts."""
        logger.info("Round %d of %d: %d clients.", round, num_rounds, num_clients)

    def client_finished(self, client: ClientUpdate) -> None:
        """Say what came of a client's task."""
        logger.info("Client %d on %s: %s, %.1f s.", client.client_id, client.backend, client.outcome, client.seconds)

    def job_waiting(self, job: JobWaiting) -> None:
        """Say nothing: jobs wait at their nodes."""

    def round_finished(self, record: RoundRecord) -> None:
        """Say what the aggregate is worth."""
        logger.info(
            "Round %d: loss %.4f, accuracy %.2f%%, %.1f s.",
            record.round,
            record.test_loss,
            100 * record.test_accuracy,
            record.seconds,
        )


def _show_log() -> None:
    """Let this package's log go where Flower's goes."""
    package = logging.getLogger("qiskit_fedqml")
    if not package.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        package.addHandler(handler)
        package.setLevel(logging.INFO)
        package.propagate = False
