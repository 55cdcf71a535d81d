"""A run on nodes: begun, or resumed from its folder at the next round."""

import logging
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import torch
from flwr.serverapp import Grid
from pydantic import Field

from qiskit_fedqml.config.data import ClientSumsScaling
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.loading import load_experiment
from qiskit_fedqml.config.strict import PositiveInteger, Seconds, StrictModel, validate
from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.data.loading import load_dataset
from qiskit_fedqml.errors import ConfigurationError, ResultError, shortened
from qiskit_fedqml.federation.executors.executor import Executor
from qiskit_fedqml.federation.messages import State
from qiskit_fedqml.federation.runs.assembly import Federation
from qiskit_fedqml.federation.runs.observer import Observer
from qiskit_fedqml.federation.runs.remote import assemble_remote
from qiskit_fedqml.federation.runs.run import extend_federation, resume_federation, run_assembled
from qiskit_fedqml.flower.executor import FlowerExecutor
from qiskit_fedqml.flower.federation import data_of, experiment_with
from qiskit_fedqml.flower.post import Post
from qiskit_fedqml.flower.protocol import Question
from qiskit_fedqml.flower.roll import Member, Roll
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.provenance import versions
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.results.writer import RunWriter
from qiskit_fedqml.tables import flattened
from qiskit_fedqml.tracking.tracking import check_tracking

logger = logging.getLogger(__name__)


class ServerConfig(StrictModel):
    """What ``[tool.flwr.app.config]`` of the app, or ``flwr run --run-config``, says.

    Args:
        experiment: The experiment file; a relative path starts where the SuperLink was started.
        out: The result folder, likewise.
        round_seconds: How long a client may take for its task, its device's queue included.
        start_seconds: How long the nodes may take to come and to introduce themselves.
        attempts: How often a task is sent at most, where its node is lost.
    """

    experiment: Annotated[str, Field(min_length=1)] = "experiment.yaml"
    out: Annotated[str, Field(min_length=1)] = "result"
    round_seconds: Seconds = 86_400.0
    start_seconds: Seconds = 3_600.0
    attempts: Annotated[PositiveInteger, Field(le=1000)] = 3

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ServerConfig":
        """Take the values of the app's configuration, whose keys have hyphens.

        Raises:
            ConfigurationError: One is unknown or wrong.
        """
        return validate(cls, {key.replace("-", "_"): value for key, value in values.items()}, "the app's configuration")


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
    question = Question(features=experiment.features, classes=dataset.classes)
    needs_sums = isinstance(experiment.features.scaling, ClientSumsScaling)
    roll = Roll(Post(grid), question, experiment.federation.clients, needs_sums, config.start_seconds)
    members = roll.call()
    _compare_versions(members)
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        whole = experiment_with(experiment, members, temporary)
        data = data_of(experiment, dataset, members)

        def assembled(experiment: Experiment, observer: Observer | None, journal: Path | None) -> Federation:
            def make_executor(blueprint: Blueprint, model: State) -> Executor:
                scaling = {"mean": torch.as_tensor(data.mean), "deviation": torch.as_tensor(data.deviation)}
                return FlowerExecutor(
                    roll=roll,
                    experiment=experiment,
                    classes=data.classes,
                    model=model,
                    scaling=scaling,
                    run_id=lambda: folder.proven_manifest().run_id,
                    round_seconds=config.round_seconds,
                    attempts=config.attempts,
                )

            return assemble_remote(experiment, data, make_executor, observer)

        if not folder.path.exists() or folder.is_empty:
            writer = RunWriter(folder)
            stack.callback(writer.release)
            writer.claim(overwrite=False)
            return run_assembled(assembled(whole, observer, None), writer)
        rounds = _rounds_to_resume(folder, whole)
        if rounds is not None:
            return extend_federation(folder.path, rounds, observer=observer, assembled=assembled)
        return resume_federation(folder.path, observer=observer, assembled=assembled)


def _rounds_to_resume(folder: RunFolder, experiment: Experiment) -> int | None:
    """Check that a folder holds this run; return the number of rounds it is to have, if that is another one.

    Raises:
        ResultError: It is another run's, or its configuration or machines are others now.
    """
    stored = folder.load_experiment()
    before, now = _comparable(stored), _comparable(experiment)
    rounds = before.pop("federation.rounds"), now.pop("federation.rounds")
    if before != now:
        key = min(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        raise ResultError(
            f"{folder.path} holds a run that cannot go on as it is now: {shortened(key, 100)} was "
            f"{shortened(str(before.get(key)))}, is {shortened(str(now.get(key)))}. Undo that, or give the new run "
            "another folder by `flwr run --run-config 'out=\"…\"'`."
        )
    return None if rounds[0] == rounds[1] else experiment.federation.rounds


def _comparable(experiment: Experiment) -> dict[str, str]:
    """Return the configuration by dotted key, with the digests of calibrations in the place of their paths."""

    def digest(_: str, path: str) -> str:
        with reading(Path(path), ResultError) as file:
            return sha256(file.read()).hexdigest()

    return flattened(experiment.with_calibrations(digest).resolved())


def _compare_versions(members: Mapping[int, Member]) -> None:
    """Say which nodes have other versions, with which bits may differ."""
    here = versions()
    for client, member in members.items():
        there = member.introduction.versions
        if differing := [f"{name} {there.get(name)}, not {here[name]}" for name in here if there.get(name) != here[name]]:
            logger.warning("Client %d has %s; its bits may differ.", client, ", ".join(differing[:5]))


def config_or_error(values: Mapping[str, Any]) -> ServerConfig:
    """Return the server's configuration.

    Raises:
        ConfigurationError: A value is unknown or wrong, or there is no experiment file.
    """
    config = ServerConfig.of(values)
    if not Path(config.experiment).is_file():
        raise ConfigurationError(
            f"There is no {config.experiment} in {Path().absolute()}: start flower-superlink in the folder that holds it."
        )
    return config
