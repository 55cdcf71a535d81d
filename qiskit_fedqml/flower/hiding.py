"""A client's update as Flower's SecAgg+ takes it: how far it went, and nothing else that tells of the client's data."""

from dataclasses import replace

import flwr.compat.common.recorddict_compat as compat
import numpy as np
from flwr.app import RecordDict
from flwr.common import Code, FitRes, ndarrays_to_parameters
from flwr.common import Status as FlowerStatus

from qiskit_fedqml.federation.messages import ClientUpdate, State, Status
from qiskit_fedqml.federation.states import difference
from qiskit_fedqml.flower.protocol import Answer, SecureTerms, Work
from qiskit_fedqml.flower.records import packed


def hidden(update: ClientUpdate, work: Work, terms: SecureTerms, model: State) -> RecordDict:
    """Return what a node says of an update, with the change of the model next to it, to be masked before it leaves.

    Args:
        update: The update.
        work: Its task.
        terms: How it is to be hidden.
        model: The model from which the client began.

    Returns:
        The records. The loss stays at the node, as does an update that changes a number by more than it may.
    """
    update = replace(update, train_loss=None, accuracy=None, client_states={})
    changes = {} if update.state is None else difference(update.state, model)
    for name, change in changes.items():
        if not bool((change.abs() <= terms.clipping_range).all()):
            reason = (
                f"its update changes {name} by more than `aggregation.secure.clipping_range` ({terms.clipping_range:g})"
            )
            return packed(Answer.of(replace(update, state=None, status=Status.FAILED, reason=reason), work.server_step))
    records = packed(Answer.of(update, work.server_step))
    if update.state is None:
        return records
    arrays = [np.asarray(changes[name].cpu().numpy(), np.float64) for name in sorted(model)]
    weight = 1 if terms.is_uniform else update.num_examples
    fit = FitRes(FlowerStatus(Code.OK, ""), ndarrays_to_parameters(arrays), weight, {})
    for name, record in compat.fitres_to_recorddict(fit, keep_input=False).items():
        records[name] = record
    return records
