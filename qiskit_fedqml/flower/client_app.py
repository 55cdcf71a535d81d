"""The app that a SuperNode runs: one message, one answer. Flower starts a process of its own for each."""

from collections.abc import Callable

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp

from qiskit_fedqml.errors import FedQMLError
from qiskit_fedqml.flower.node import Node, NodeConfig
from qiskit_fedqml.flower.protocol import MODEL, SCALING, Answer, Failure, Question, Work
from qiskit_fedqml.flower.records import UnfitError, packed, state_in, values_in

app = ClientApp()


@app.query()
def introduce(message: Message, context: Context) -> Message:
    """Say which client the node is."""
    return _answered(message, context, _introduced)


@app.train()
def work(message: Message, context: Context) -> Message:
    """Run a task."""
    return _answered(message, context, _worked)


def _introduced(records: RecordDict, node: Node) -> RecordDict:
    return packed(*node.introduce(values_in(records, Question)))


def _worked(records: RecordDict, node: Node) -> RecordDict:
    work = values_in(records, Work)
    model, scaling = state_in(records, MODEL), state_in(records, SCALING)
    kept = {slot: state_in(records, f"kept/{slot}") for slot in work.kept}
    update = node.work(work, model, kept, scaling)
    states = {f"kept/{slot}": state for slot, state in update.client_states.items()}
    if update.state is not None:
        states[MODEL] = update.state
    return packed(Answer.of(update, work.server_step), states)


def _answered(message: Message, context: Context, answer: Callable[[RecordDict, Node], RecordDict]) -> Message:
    try:
        records = answer(message.content, Node(NodeConfig.of(context.node_config)))
    except FedQMLError as error:
        records = packed(Failure(kind=type(error).__name__, text=str(error)[:2000]))
    except UnfitError as error:
        records = packed(
            Failure(kind="ConfigurationError", text=f"The server's message cannot be read: {error}."[:2000])
        )
    return Message(records, reply_to=message)
