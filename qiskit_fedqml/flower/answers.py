"""A node's answer made an update, once everything in it is what it should be."""

import torch
from flwr.app import RecordDict

from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, Status
from qiskit_fedqml.flower import texts
from qiskit_fedqml.flower.figures import checked
from qiskit_fedqml.flower.protocol import MODEL, Answer
from qiskit_fedqml.flower.records import UnfitError, check_fits, state_in


def update_of(
    task: ClientTask,
    answer: Answer,
    records: RecordDict,
    model: State,
    num_examples: int,
    elapsed: float,
    *,
    is_hidden: bool = False,
) -> ClientUpdate:
    """Return a node's answer as an update.

    Args:
        task: The task.
        answer: The answer's values.
        records: The message, with the tensors.
        model: The trained tensors, whose names, types and shapes the update's must have.
        num_examples: Examples that the node said it has when the run began; 0 where the run is private.
        elapsed: Seconds since the task was handed out.
        is_hidden: Whether its tensors and its loss are hidden by secure aggregation; the update is without them then.

    Raises:
        UnfitError: Something in it is not what it should be.
    """
    if (answer.server_step, answer.client) != (task.server_step, task.client_id):
        raise UnfitError(f"it is for round {answer.server_step} and client {answer.client}")
    if answer.examples != num_examples:
        raise UnfitError(f"it claims {answer.examples} examples, where there were {num_examples} when the run began")
    if answer.has_state != (answer.status is Status.OK) or (answer.kept and not answer.has_state):
        raise UnfitError(f"its status is {answer.status}, which does not fit its tensors")
    states_loss = num_examples > 0 and not is_hidden  # private nodes do not
    if answer.status is Status.OK and (not task.trains or (answer.train_loss is not None) != states_loss):
        raise UnfitError(f"it trained where it was to test, or has {'no' if states_loss else 'a'} loss")
    if answer.status is Status.TESTED and task.trains:
        raise UnfitError("it tested where it was to train")
    has_tensors = answer.has_state and not is_hidden
    state = check_fits(state_in(records, MODEL), model, "its update") if has_tensors else None
    return ClientUpdate(
        client_id=task.client_id,
        backend=task.backend,
        simulator=texts.plain(answer.simulator, 100),
        num_examples=num_examples,
        train_loss=answer.train_loss,
        seconds=answer.seconds,
        usage=answer.usage.usage(),
        status=answer.status,
        reason=texts.plain(answer.reason),
        state=state,
        client_states={slot: _kept(state_in(records, f"kept/{slot}"), model, slot) for slot in answer.kept},
        accuracy=answer.accuracy,
        calibration=None if answer.calibration is None else checked(answer.calibration),
        waited_seconds=max(0.0, elapsed - answer.seconds),
        success_probability=answer.success_probability,
    )


def _kept(state: State, model: State, slot: str) -> State:
    """Return what a client keeps of its optimiser: for some of the model's tensors, one alike or a single number."""
    like = {name: tensor for name, tensor in model.items() if name in state}
    expected = {
        name: torch.zeros((), dtype=state[name].dtype) if state[name].ndim == 0 else tensor
        for name, tensor in like.items()
    }
    return check_fits(state, expected, f"what it keeps as {slot!r}")
