"""Federated runs, begun."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from qiskit_fedqml.backends.array.given import with_own_backends
from qiskit_fedqml.backends.array.own import Given
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.federation.interruption import interruptible
from qiskit_fedqml.federation.runs.assembly import Federation, assemble
from qiskit_fedqml.federation.runs.describing import describe, size_of
from qiskit_fedqml.federation.runs.loop import RunLoop
from qiskit_fedqml.federation.runs.own_parts import with_own_parts
from qiskit_fedqml.federation.runs.private import check_first_round
from qiskit_fedqml.ledger.opening import check_ledger, open_ledger
from qiskit_fedqml.progress.compiling import compiling_shown
from qiskit_fedqml.progress.observer import Observer, prepared_of, preparing_of
from qiskit_fedqml.progress.opening import shown_to
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.results.writer import RunWriter
from qiskit_fedqml.tracking.tracking import check_tracking


def run_federation(
    experiment: Experiment,
    out: str | Path | None = None,
    *,
    data: tuple[Any, Any] | Callable[..., tuple[Any, Any]] | None = None,
    head: Callable[..., nn.Module] | None = None,
    circuit: CircuitSpec | Callable[..., CircuitSpec] | None = None,
    loss: Callable[..., Any] | None = None,
    metrics: Sequence[str | Callable[..., float]] | None = None,
    rule: Callable[..., Any] | None = None,
    client_step: Callable[..., Any] | None = None,
    algorithm: Callable[..., Any] | None = None,
    backends: Given | None = None,
    overwrite: bool = False,
    observer: Observer | None = None,
    progress: bool | None = None,
    allow_partial: bool = False,
) -> RunResult:
    """Run a federated training (one client that holds all the data is the non-federated baseline).

    Parts of your own replace those that the experiment names. Data and a circuit are written into the result folder;
    classes and functions are written down by their names, so they must be at the top of a module. Their arguments are
    given by :func:`functools.partial`.

    Args:
        experiment: What to run, from :func:`~qiskit_fedqml.load_experiment`.
        out: The result folder; None keeps the result in memory alone.
        data: ``(clients, test)``, or a function that makes it: a list with a map-style dataset for each client, or one
            dataset that the experiment's partition shares out; and a dataset of tests. An item is a pair (x, y): an
            image or a vector of features, and an integer.
        head: Makes a torch module of the numbers of features and of outputs.
        circuit: A circuit with one observable for each class, or a function that makes it.
        loss: Gives the mean loss of a batch's logits and labels, or a class of such objects.
        metrics: ``"accuracy"``, ``"auc"``, ``"f1"``, and functions that give a number for labels and logits.
        rule: Makes an :class:`~qiskit_fedqml.federation.rules.aggregator.Aggregator`.
        client_step: Makes a :class:`~qiskit_fedqml.federation.steps.step.ClientStep`.
        algorithm: Makes an :class:`~qiskit_fedqml.federation.algorithms.algorithm.Algorithm` of a ``Setting``.
        backends: Machines of your own, by the names of backends that the experiment uses: a ``BackendV2`` or an
            ``EstimatorV2`` of Qiskit, a noise model of Aer, an object with this package's
            :class:`~qiskit_fedqml.backends.base.Backend` protocol, or a function that makes one of these. An object is
            given again when the run is resumed; a function is written down by its name.
        overwrite: Whether a result folder that exists may be replaced.
        observer: Notified of what happens.
        progress: Whether to show progress, as bars on a terminal or in a notebook, as lines elsewhere; None shows bars
            where there can be some, unless there is an observer.
        allow_partial: Whether a run on devices may begin that its budgets, or what an account has left, will not pay to
            the end. It ends before the first round that does not fit.

    Returns:
        The result, with the final model; of a run that ended early, with the rounds that are done, and why
        (:attr:`RunResult.stopped`).

    Raises:
        ConfigurationError: The assignment names a client that doesn't exist, there are more classes than qubits,
            there is no such device, a part of the user's own cannot be found, or a tracker's or the ledger's extra is
            not installed.
        DataError: Data, weights or features are missing or do not fit.
        BackendError: A backend cannot be opened, or failed.
        NoBackendError: Something in ``backends`` cannot be a backend; a BackendError and a TypeError.
        BudgetError: The plan passes a budget of QPU seconds, or what an account has left, and nothing was sent; or in
            the course of the run the next round, or the next job, does, and the run can be resumed.
        ResultError: The folder exists already, is in use, or cannot be written; or ``model.initial`` names no finished
            run whose model fits.
        TrainingError: The aggregate's loss is not finite.
    """
    own = {
        **{"data": data, "head": head, "circuit": circuit, "loss": loss, "metrics": metrics},
        **{"rule": rule, "client_step": client_step, "algorithm": algorithm},
    }
    experiment, objects = with_own_backends(with_own_parts(experiment, own), backends)
    check_tracking(experiment.tracking, has_folder=out is not None)
    check_ledger(experiment, has_folder=out is not None)
    writer = None if out is None else RunWriter(RunFolder(Path(out)))
    title = "run" if writer is None else writer.path.name
    try:
        with interruptible(), shown_to(observer, title, progress) as watching, compiling_shown(watching):
            if writer is not None:
                writer.claim(overwrite=overwrite)
            return run_assembled(assemble(experiment, watching, None, objects), writer, allow_partial=allow_partial)
    finally:
        if writer is not None:
            writer.release()


def run_assembled(federation: Federation, writer: RunWriter | None = None, *, allow_partial: bool = False) -> RunResult:
    """Run a federation that is put together, perhaps with parts of another kind, such as your own executor.

    Args:
        federation: From :func:`~qiskit_fedqml.federation.runs.assembly.assemble`.
        writer: Writes the result folder, which it has claimed; None keeps the result in memory alone.
        allow_partial: As :func:`run_federation`.

    Raises:
        FedQMLError: As :func:`run_federation`.
    """
    check_first_round(federation)
    guard = None
    if federation.devices:
        from qiskit_fedqml.planning.guard import budget_guard

        preparing_of(federation.observer)("planning the jobs of all rounds", 0, 0)
        guard = budget_guard(federation, federation.initial, allow_partial=allow_partial)
    run = describe(federation)
    prepared_of(federation.observer)(lambda: size_of(federation))
    if writer:
        run = writer.create(federation.experiment, run, federation.initial.named() if federation.origin else None)
        if federation.devices:
            federation.registry.dispatcher.journal.move_to(writer.folder.journal)
    ledger = open_ledger(federation.experiment, writer, federation.initial, federation.evaluator.model, resumes=False)
    return RunLoop(federation, run, writer, guard, ledger, allow_partial=allow_partial).run(federation.initial, ())
