"""Runs of a study: schemes times seeds, each in a folder of its own, several at a time, restarted where it stopped."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.preparation import prepare_data
from qiskit_fedqml.errors import ConfigurationError, FedQMLError, ResultError, TrainingError
from qiskit_fedqml.federation.runs.resuming import resume_federation
from qiskit_fedqml.federation.runs.run import run_federation
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.manifest import digest_of_file
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.study import Study, Trial
from qiskit_fedqml.tables import flattened
from qiskit_fedqml.workers.memory import Memory
from qiskit_fedqml.workers.messages import Memories, Setup, Work
from qiskit_fedqml.workers.pool import Lost, WorkerPool


def run_trials(
    trials: Sequence[Trial],
    out: Path,
    *,
    processes: int = 1,
    fresh: bool = False,
    keep_models: bool = False,
    on_trial: Callable[[Trial, RunResult, int, int], None] | None = None,
) -> Study:
    """Run trials that are not finished yet, and read all of them back.

    A finished trial is not run again; one that was begun is resumed where it stopped, to the same bits with as many
    processes. If a trial fails, or on Ctrl-C, those that run are stopped and no other is begun.

    Args:
        trials: The trials; scheme and seed must differ.
        out: The folder of their result folders.
        processes: How many run at a time, each with its share of torch's threads.
        fresh: Whether each trial gets a process of its own, so that the memory that it records is its own.
        keep_models: Whether the trained models are kept, which may be large.
        on_trial: Called with each trial that is finished, its result, how many are finished, and how many there are.

    Raises:
        ConfigurationError: Two trials have the same folder, or ``processes`` is not a number from 1.
        ResultError: A folder holds another configuration than its trial.
        TrainingError: A trial's process died.
        FedQMLError: What a run raises, with the trial's name.
    """
    if processes < 1:
        raise ConfigurationError(f"Argument `processes` must be at least 1, but got {processes}.")
    folders = [trial.folder(out) for trial in trials]
    twice = {str(folder) for folder in folders if folders.count(folder) > 1}
    if twice:
        raise ConfigurationError(f"Trials must differ in scheme or seed, but these have one folder: {sorted(twice)}.")
    waiting = [trial for trial in trials if not _is_finished(trial, trial.folder(out), keep_models)]
    done = len(trials) - len(waiting)
    for trial, run in _run_all(waiting, out, processes, fresh, keep_models):
        done += 1
        if on_trial:
            on_trial(trial, run, done, len(trials))
    return Study({(t.scheme, t.seed): RunResult.load(t.folder(out)) for t in trials})


def _is_begun(folder: Path) -> bool:
    """Whether a run has made its folder whole; ``config.yaml`` is the last file that it makes."""
    return (folder / "config.yaml").exists()


def _is_finished(trial: Trial, folder: Path, keep_models: bool) -> bool:
    if not _is_begun(folder):
        return False
    stored = RunResult.load(folder)
    before, wanted = _by_content(stored.experiment), _by_content(trial.experiment)
    if before != wanted:
        raise ResultError(
            f"{folder} holds a run of another configuration ({_difference(before, wanted)}); "
            "choose another folder, or move it away."
        )
    has_model, of = (folder / "model.safetensors").exists(), RunFolder(folder)
    is_finished = stored.is_complete and (of.is_finished or not of.has_checkpoint)
    if is_finished and not keep_models:
        _drop_models(folder)
    return is_finished and (has_model or not keep_models)


def _drop_models(folder: Path) -> None:
    """Delete the model of a finished run, and the checkpoints that stay if the run kept more than the model."""
    (folder / "model.safetensors").unlink(missing_ok=True)
    RunFolder(folder).checkpoints.remove()


def _by_content(experiment: Experiment) -> Experiment:
    """Return the experiment with the content of its saved calibrations in the place of their paths, wherever it ran."""

    def digest(name: str, path: str) -> str:
        try:
            return digest_of_file(Path(path))
        except ResultError as error:
            raise ResultError(f"The calibration of backend {name!r}: {error}") from error

    return experiment.with_files(digest).with_workers(1)


def _run_all(
    trials: Sequence[Trial], out: Path, processes: int, fresh: bool, keep_models: bool
) -> Iterable[tuple[Trial, RunResult]]:
    if processes == 1 and not fresh:
        for trial in trials:
            yield trial, _run(trial, out, keep_models)
        return
    for trial in {(t.experiment.data, t.experiment.features): t for t in trials}.values():
        prepare_data(trial.experiment)  # so that features are in the cache before several processes look for them
    threads = max(1, torch.get_num_threads() // processes)
    pool = WorkerPool(Setup(make_trials, (out, keep_models), threads), processes, Memory(), is_fresh=fresh)
    try:
        for order, answers, _ in pool.run([_TrialOrder(trial) for trial in trials], lambda runs, _: runs):
            if isinstance(answers, Lost):
                raise TrainingError(
                    f"{order.trial.scheme}, seed {order.trial.seed}: {answers.reason} "
                    "Started again, the study continues."
                )
            yield order.trial, answers[0]
    finally:
        pool.stop()  # a trial that runs is resumed from its checkpoint when the study is started again


@dataclass(frozen=True)
class _TrialOrder:
    """A trial, as an order for a worker process."""

    trial: Trial
    count: int = 1
    seconds: float | None = None

    def sent(self, inbox: Memory) -> Trial:
        return self.trial


def make_trials(kit: tuple[Path, bool], memories: Memories) -> Work:
    """Return what runs trials in a worker process.

    Args:
        kit: The folder of the result folders, and whether models are kept.
        memories: Not used.
    """
    out, keep_models = kit

    def work(trial: Trial) -> Iterator[list[RunResult]]:
        yield [_run(trial, out, keep_models)]

    return work


def _run(trial: Trial, out: Path, keep_model: bool) -> RunResult:
    folder = trial.folder(out)
    try:
        if _is_begun(folder) and not _has_lost_model(folder):
            resume_federation(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)  # what a run left that was stopped while it made its folder
            run_federation(trial.experiment, folder)
    except FedQMLError as error:
        raise type(error)(f"{trial.scheme}, seed {trial.seed}: {error}") from error
    if not keep_model:
        _drop_models(folder)
    return RunResult.load(folder)


def _has_lost_model(folder: Path) -> bool:
    """Return whether a run is finished, and its model is gone."""
    has_model, of = (folder / "model.safetensors").exists(), RunFolder(folder)
    is_finished = of.is_finished or not of.has_checkpoint
    return not has_model and is_finished and RunResult.load(folder).is_complete


def _difference(stored: Experiment, wanted: Experiment) -> str:
    before, after = flattened(stored.resolved()), flattened(wanted.resolved())
    key = next(key for key in {**before, **after} if before.get(key) != after.get(key))
    return f"{key} is {before.get(key)} there, {after.get(key)} here"
