"""Runs of a study: schemes times seeds, each in a folder of its own, several at a time, restarted where it stopped."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.study import StudyPlan, with_seeds
from qiskit_fedqml.data.preparation import prepare_data
from qiskit_fedqml.errors import ConfigurationError, FedQMLError, ResultError, TrainingError
from qiskit_fedqml.federation.runs.resuming import resume_federation
from qiskit_fedqml.federation.runs.run import run_federation
from qiskit_fedqml.progress.observer import Observer
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.study import Study, Trial
from qiskit_fedqml.study.trial_folder import drop_models, has_lost_model, is_begun, is_finished
from qiskit_fedqml.workers.memory import Memory
from qiskit_fedqml.workers.messages import Memories, Setup, Work
from qiskit_fedqml.workers.pool import Lost, WorkerPool

Watched = Callable[[Trial], AbstractContextManager[Observer | None]]
"""Opens what is notified of a trial's progress."""


def run_trials(
    trials: Sequence[Trial],
    out: Path,
    *,
    processes: int = 1,
    fresh: bool = False,
    keep_models: bool = False,
    on_trial: Callable[[Trial, RunResult, int, int], None] | None = None,
    watched: Watched = lambda trial: nullcontext(),
    overwrite: bool = False,
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
        watched: Opens what is notified of a trial's progress, if one runs at a time in this process.
        overwrite: Whether trials are run again that are there, and earlier runs in their folders replaced.

    Raises:
        ConfigurationError: Two trials have the same folder, or ``processes`` is not a number from 1.
        ResultError: A folder holds another configuration than its trial, or something that is no run.
        TrainingError: A trial's process died.
        FedQMLError: What a run raises, with the trial's name.
    """
    if processes < 1:
        raise ConfigurationError(f"Argument `processes` must be at least 1, but got {processes}.")
    folders = [trial.folder(out) for trial in trials]
    twice = {str(folder) for folder in folders if folders.count(folder) > 1}
    if twice:
        raise ConfigurationError(f"Trials must differ in scheme or seed, but these have one folder: {sorted(twice)}.")
    waiting = [trial for trial in trials if overwrite or not is_finished(trial, trial.folder(out), keep_models)]
    done = len(trials) - len(waiting)
    for trial, run in _run_all(waiting, _Kit(out, keep_models, overwrite), processes, fresh, watched):
        done += 1
        if on_trial:
            on_trial(trial, run, done, len(trials))
    return Study({(t.scheme, t.seed): RunResult.load(t.folder(out)) for t in trials})


def run_seeds(
    experiment: Experiment, seeds: Sequence[int], out: str | Path, *, processes: int = 1, **options: Any
) -> dict[int, RunResult]:
    """Run an experiment with several seeds, each in a result folder ``seed1``, ``seed2``, … of its own.

    A seed that is finished is not run again, and one that was begun is resumed.

    Args:
        experiment: What to run.
        seeds: Whole numbers that differ.
        out: The folder of the result folders.
        processes: How many run at a time, each with its share of torch's threads.
        options: Further arguments of :func:`run_trials`.

    Returns:
        The runs by seed.

    Raises:
        ConfigurationError: Seeds do not differ, or as :func:`run_trials`.
        ResultError: The folder holds a run of its own, or that of a seed holds something else.
        FedQMLError: What a run raises, with its seed.
    """
    if RunFolder(Path(out)).is_run:
        raise ResultError(f"{out} holds a run of its own; choose another folder for several seeds (--out).")
    trials = [Trial("", each) for each in with_seeds(experiment, seeds)]
    return run_trials(trials, Path(out), processes=processes, keep_models=True, **options).of("")


def run_study(plan: StudyPlan, out: str | Path, *, processes: int = 1, **options: Any) -> Study:
    """Run what is missing of a study, one seed of all schemes after the other; return all of its runs.

    Args:
        plan: From :func:`~qiskit_fedqml.config.study.load_study`.
        out: The study's folder; runs are in ``runs/SCHEME/seedN``.
        processes: How many run at a time, each with its share of torch's threads.
        options: Further arguments of :func:`run_trials`.

    Raises:
        FedQMLError: As :func:`run_trials`.
    """
    by_scheme = [[Trial(scheme, each) for each in of] for scheme, of in plan.experiments.items()]
    trials = [trial for of_seed in zip(*by_scheme, strict=True) for trial in of_seed]
    return run_trials(trials, Path(out) / "runs", processes=processes, keep_models=plan.keep_models, **options)


@dataclass(frozen=True)
class _Kit:
    """Where trials' results go.

    Args:
        out: The folder of their result folders.
        keep_models: Whether trained models are kept.
        overwrite: Whether earlier runs there are replaced.
    """

    out: Path
    keep_models: bool
    overwrite: bool


def _run_all(
    trials: Sequence[Trial], kit: _Kit, processes: int, fresh: bool, watched: Watched
) -> Iterable[tuple[Trial, RunResult]]:
    if processes == 1 and not fresh:
        for trial in trials:
            with watched(trial) as observer:
                run = _run(trial, kit, observer)
            yield trial, run
        return
    for trial in {_data_of(t.experiment): t for t in trials}.values():
        prepare_data(trial.experiment)  # so that features are in the cache before several processes look for them
    threads = max(1, torch.get_num_threads() // processes)
    pool = WorkerPool(Setup(make_trials, kit, threads), processes, Memory(), is_fresh=fresh)
    try:
        for order, answers, _ in pool.run([_TrialOrder(trial) for trial in trials], lambda runs, _: runs):
            if isinstance(answers, Lost):
                raise TrainingError(f"{order.trial.name}: {answers.reason} Started again, the study continues.")
            yield order.trial, answers[0]
    finally:
        pool.stop()  # a trial that runs is resumed from its checkpoint when the study is started again


def _data_of(experiment: Experiment) -> str:
    """Return a text that is equal for experiments of the same features."""
    return f"{experiment.data.model_dump_json()} {experiment.features.model_dump_json()}"


@dataclass(frozen=True)
class _TrialOrder:
    """A trial, as an order for a worker process."""

    trial: Trial
    count: int = 1
    seconds: float | None = None

    def sent(self, inbox: Memory) -> Trial:
        return self.trial


def make_trials(kit: _Kit, memories: Memories) -> Work:
    """Return what runs trials in a worker process.

    Args:
        kit: Where their results go.
        memories: Not used.
    """

    def work(trial: Trial) -> Iterator[list[RunResult]]:
        yield [_run(trial, kit)]

    return work


def _run(trial: Trial, kit: _Kit, observer: Observer | None = None) -> RunResult:
    folder = trial.folder(kit.out)
    try:
        is_lost = is_begun(folder) and not kit.overwrite and has_lost_model(folder)
        if is_begun(folder) and not kit.overwrite and not is_lost:
            resume_federation(folder, observer=observer)
        else:
            run_federation(trial.experiment, folder, overwrite=kit.overwrite or is_lost, observer=observer)
    except FedQMLError as error:
        raise type(error)(f"{trial.name}: {error}") from error
    if not kit.keep_models:
        drop_models(folder)
    return RunResult.load(folder)
