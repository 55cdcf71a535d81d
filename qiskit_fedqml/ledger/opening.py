"""The ledger of a run that begins or goes on, where its experiment asks for one."""

from typing import TYPE_CHECKING

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.results.writer import RunWriter

if TYPE_CHECKING:
    from torch import nn

    from qiskit_fedqml.ledger.keeper import LedgerKeeper


def check_ledger(experiment: Experiment, *, has_folder: bool) -> None:
    """Check that a ledger can be kept where an experiment asks for one, before anything runs.

    Raises:
        ConfigurationError: The extra is not installed, or there is no result folder.
    """
    if experiment.ledger and not has_folder:
        raise ConfigurationError("`ledger` writes into the result folder, but the run has none.")
    if experiment.ledger:
        import qiskit_fedqml.ledger.keys  # noqa: F401


def open_ledger(
    experiment: Experiment, writer: RunWriter | None, server: ServerState, model: "nn.Module", *, resumes: bool
) -> "LedgerKeeper | None":
    """Return what keeps the ledger, its first link for this process written; None where none is asked for.

    Args:
        experiment: The configuration.
        writer: The run's; its configuration is written.
        server: The state from which the run goes on.
        model: The whole model, of which the server's state has what is trained.
        resumes: Whether the run was begun by another process.

    Raises:
        ConfigurationError: As :func:`check_ledger`.
        ResultError: The ledger cannot be written, or that of the run is damaged or gone.
    """
    check_ledger(experiment, has_folder=writer is not None)
    if not experiment.ledger or writer is None:
        return None
    from qiskit_fedqml.ledger.keeper import LedgerKeeper

    keeper, manifest = LedgerKeeper(writer.path, experiment), writer.folder.proven_manifest()
    (keeper.resume if resumes else keeper.begin)(manifest, server, model.state_dict())
    return keeper
