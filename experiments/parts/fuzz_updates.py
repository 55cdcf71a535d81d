"""Fuzzed update messages: what a client, or whoever speaks in its name, sends to the server.

A message that is refused must leave the round as if the client had failed, and no message may change the model that
the round began from, or make one that is not finite.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from parts.fuzz_cases import TINY, Case, DifferentError, Kind, damaged, nothing, with_wrong_json
from qiskit_fedqml import Experiment, FedQMLError
from qiskit_fedqml.federation.executors.executor import in_task_order
from qiskit_fedqml.federation.messages import ClientTask, ClientUpdate, State, Status
from qiskit_fedqml.federation.runs.assembly import Federation, assemble
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.flower.executor import FlowerExecutor
from qiskit_fedqml.flower.post import Reply
from qiskit_fedqml.flower.protocol import MODEL, Answer, Failure
from qiskit_fedqml.flower.records import packed

_CLIENTS = 7
_AGGREGATIONS: tuple[dict[str, Any], ...] = (
    {},
    {"rule": "coordinate_median"},
    {"rule": "geometric_median"},
    {"rule": "foolsgold"},
    {"rule": {"trimmed_mean": {"fraction": 0.25}}},
    {"rule": {"krum": {"byzantine": 1}}},
    {"rule": {"multi_krum": {"byzantine": 1}}},
    {"rule": {"bulyan": {"byzantine": 1}}},
    {"norm_bound": 0.5, "server_optimizer": {"method": "fedavgm"}},
    {"norm_ratio": 3.0, "weights": "uniform", "server_optimizer": {"method": "fedadam"}},
)
"""What is made of updates; the rules of five updates at least have enough without one."""


@dataclass(frozen=True)
class _Round:
    """A round that all clients have worked for.

    Args:
        federation: The federation.
        server: The state before the round.
        tasks: Its tasks.
        updates: What the clients made of them.
    """

    federation: Federation
    server: ServerState
    tasks: list[ClientTask]
    updates: list[ClientUpdate]

    def after(self, updates: Sequence[ClientUpdate]) -> State:
        """Return the model that the server makes of updates."""
        return self.federation.algorithm.apply(self.server, in_task_order(self.tasks, updates))[0].model

    def without(self, client: int) -> State:
        """Return the model of a round in which a client failed."""
        task = self.tasks[client]
        failed = ClientUpdate.without_model(task, 0, Status.FAILED, "", 0.0)
        return self.after([failed if update.client_id == client else update for update in self.updates])


@cache
def _round(number: int) -> _Round:
    """Return a round for one of the aggregations."""
    federation = {**TINY["federation"], "clients": _CLIENTS, "clients_per_round": _CLIENTS, "on_client_failure": "skip"}
    values = {**TINY, "federation": federation, "aggregation": _AGGREGATIONS[number]}
    made = assemble(Experiment.model_validate(values), None, None)
    tasks = made.algorithm.next_tasks(made.initial)
    return _Round(made, made.initial, tasks, list(made.executor.run(tasks)))


@dataclass
class _Nodes:
    """Nodes that answer with the records that they are given, as the roll and the post of a deployment."""

    answers: dict[int, RecordDict]
    examples: dict[int, int]

    @property
    def members(self) -> dict[int, Any]:
        return {c: SimpleNamespace(node=c, introduction=SimpleNamespace(examples=n)) for c, n in self.examples.items()}

    @property
    def post(self) -> "_Nodes":
        return self

    def send(self, node: int, *_: Any) -> str:
        return str(node)

    def replies(self, messages: Sequence[str]) -> Iterator[Reply]:
        for message in messages:
            yield Reply(message, self.answers[int(message)])

    def started(self, client: int) -> str:
        return "once"

    def away_seconds(self, client: int) -> float:
        return 0.0

    def look(self) -> None: ...

    def forget(self) -> None: ...


def _message(update: ClientUpdate) -> RecordDict:
    assert update.state is not None
    return packed(Answer.of(update, 1), {MODEL: update.state})


def _read(of: _Round, answers: dict[int, RecordDict]) -> list[ClientUpdate]:
    """Return what the server reads of the nodes' messages."""
    federation = of.federation
    nodes: Any = _Nodes(answers, {update.client_id: update.num_examples for update in of.updates})
    executor = FlowerExecutor(
        roll=nodes,
        experiment=federation.experiment,
        classes=federation.data.classes,
        model=of.server.model,
        scaling={},
        run_id=lambda: "0" * 32,
        round_seconds=60.0,
        away_seconds=60.0,
        attempts=1,
    )
    return list(executor.run(of.tasks))


def _values(rng: random.Random, message: RecordDict) -> str:
    """Change the plain values of a message."""
    if "values" not in message.config_records:
        return "no values"
    record = message.config_records["values"]
    text = str(record.get("json", "{}"))
    match rng.randrange(8):
        case 0 | 1 | 2 | 3:
            try:
                whole = json.loads(text)
            except (ValueError, RecursionError):  # an earlier change has broken it
                return "broken values"
            record["json"], change = with_wrong_json(whole if isinstance(whole, (dict, list)) and whole else [0], rng)
        case 4:
            content, change = damaged(text.encode(), rng)
            record["json"] = content.decode("utf-8", "replace")
        case 5:
            record["kind"] = rng.choice(("Work", "Introduction", "Failure", "", "Answer ", "x" * 10_000, "object"))
            change = f"kind {record['kind'][:20]!r}"
        case 6:
            key, other = rng.choice(("kind", "json")), rng.choice((1, 1.5, True, b"x", [1, 2], [""], b"\x80\x04N."))
            record[key] = other
            change = f"{key}: {other!r}"
        case _:
            failure = Failure(
                kind=rng.choice(("JobError", "SystemExit", "os.system", "")), text="x" * rng.choice((0, 9))
            )
            message["values"] = packed(failure)["values"]
            change = "a failure"
    return change


_NUMBERS = (float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 1e-45, 0.0, 1e30)


def _tensors(rng: random.Random, message: RecordDict) -> str:
    """Change the tensors of a message."""
    if not message.array_records.get(f"state/{MODEL}"):
        return "no tensors"
    state = message.array_records[f"state/{MODEL}"]
    name = rng.choice(list(state))
    array = state[name]
    dtype, shape, stype, data = array.dtype, tuple(array.shape), array.stype, array.data
    match rng.randrange(10):
        case 0:
            del state[name]
            return f"{name} left out"
        case 1:
            other = rng.choice(("x", "", name + "\0", "../" + name, "quantum._weights", "n" * 100_000))
            state[other] = array
            return f"{other[:20]!r} too much"
        case 2:
            dtype = rng.choice(
                ("float64", "int64", "float16", "object", "complex64", "", "<f4", "bool", "V4", "float32 ")
            )
            change = f"dtype {dtype!r}"
        case 3:
            stype = rng.choice(("numpy.ndarray", "torch.Tensor", "pickle", "", stype.upper()))
            change = f"stype {stype!r}"
        case 4 | 5:
            odd = ((), (0,), (-1,), (2**62, 4), (len(data) // 4,), (1,) * 40, (*shape, 1), (10**9, 10**9), shape[::-1])
            shape = rng.choice(odd)
            change = f"shape {str(shape)[:30]}"
        case 6:
            data, change = damaged(data, rng)
        case _:
            values = np.frombuffer(data[: len(data) // 4 * 4] or bytes(4), "<f4").copy()
            number = rng.choice(_NUMBERS)
            if rng.random() < 0.5:
                values[:] = number
            else:
                values[rng.randrange(len(values))] = number
            data, change = values.tobytes(), f"{number} in {name}"
    state[name] = Array(dtype=dtype, shape=shape, stype=stype, data=data)
    return change


def _records(rng: random.Random, message: RecordDict) -> str:
    """Change the message's records as a whole."""
    match rng.randrange(6):
        case 0:
            name = rng.choice([*message] or [""])
            message.pop(name, None)
            return f"record {name} left out"
        case 1:
            message["state/kept/exp_avg"] = message.get(f"state/{MODEL}", ArrayRecord())
            return "more tensors"
        case 2:
            message["values"] = rng.choice((MetricRecord({"json": 1}), ArrayRecord(), ConfigRecord()))
            return "other values"
        case 3:
            message[f"state/{MODEL}"] = rng.choice((ConfigRecord({"x": 1}), ArrayRecord()))
            return "other tensors"
        case 4:
            for name in list(message):
                del message[name]
            return "nothing"
        case _:
            for number in range(1000):
                message[f"more {number}"] = ConfigRecord({"x": number})
            return "a thousand records more"


def _from_node(rng: random.Random, of: _Round, client: int) -> tuple[str, Callable[[], list[ClientUpdate]]]:
    answers = {update.client_id: _message(update) for update in of.updates}
    message = copy.deepcopy(answers[client])
    changes = [rng.choice((_values, _tensors, _tensors, _records))(rng, message) for _ in range(rng.choice((1, 1, 2)))]
    answers[client] = message
    return "; ".join(changes), lambda: _read(of, answers)


def _odd_tensor(rng: random.Random, tensor: torch.Tensor) -> tuple[torch.Tensor, str]:
    odd: dict[str, Callable[[], torch.Tensor]] = {
        "double": tensor.double,
        "half": tensor.half,
        "bfloat16": tensor.bfloat16,
        "complex": lambda: tensor.to(torch.complex64),
        "whole numbers": lambda: tensor.to(torch.int32),
        "truth values": lambda: tensor > 0,
        "sparse": tensor.to_sparse,
        "on no device": lambda: tensor.to("meta"),
        "with a gradient": lambda: tensor.clone().requires_grad_(),
        "one number": tensor.sum,
        "another shape": lambda: tensor.reshape(-1)[1:],
        "one more dimension": lambda: tensor[None],
        "not contiguous": lambda: tensor.repeat(*([1] * (tensor.ndim - 1)), 2)[..., ::2],
        "the model's own": lambda: tensor,
        "expanded": lambda: tensor.reshape(-1)[:1].expand(tensor.numel()).reshape(tensor.shape),
        **{str(number): lambda number=number: torch.full_like(tensor, number) for number in _NUMBERS},  # type: ignore[misc]
    }
    name = rng.choice(list(odd))
    return odd[name](), name


def _in_memory(rng: random.Random, of: _Round, client: int) -> tuple[str, Callable[[], list[ClientUpdate]]]:
    """Change an update that an executor of one's own may give."""
    update = of.updates[client]
    assert update.state is not None
    state = dict(update.state)
    name = rng.choice(list(state))
    match rng.randrange(8):
        case 0:
            del state[name]
            change = f"{name} left out"
        case 1:
            state["more"] = state[name]
            change = "a tensor too much"
        case 2:
            number = rng.choice((-1, 0, 10**9, 2**63, -(2**70)))
            update, change = replace(update, num_examples=number), f"{number} examples"
        case 3:
            loss = rng.choice((None, float("nan"), float("inf"), -1.0))
            update, change = replace(update, train_loss=loss), f"loss {loss}"
        case _:
            state[name], change = _odd_tensor(rng, state[name])
            change = f"{name}: {change}"
    wrong = replace(update, state=state)
    return change, lambda: [wrong if other.client_id == client else other for other in of.updates]


def _same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def _case(rng: random.Random, _base: Path, _place: Path) -> Case:
    number, client = rng.randrange(len(_AGGREGATIONS)), rng.randrange(_CLIENTS)
    of = _round(number)
    kept = {name: tensor.clone() for name, tensor in of.server.model.items()}
    change, updates_of = (_from_node if rng.random() < 0.7 else _in_memory)(rng, of, client)

    def run() -> None:
        try:
            updates = updates_of()
            after, returned = of.federation.algorithm.apply(of.server, in_task_order(of.tasks, updates))
        finally:
            if not _same(kept, of.server.model):
                raise DifferentError("the model from which the round began has changed")
        if not all(bool(tensor.isfinite().all()) for tensor in after.model.values()):
            raise DifferentError("the new model is not finite")
        [its] = [update for update in returned if update.client_id == client]
        if its.status is Status.OK:
            return
        if not its.reason and its.status is not Status.FAILED:
            raise DifferentError(f"an update is {its.status} without a reason")
        if not _same(after.model, of.without(client)):
            raise DifferentError(f"an update that is {its.status} has changed the model")
        raise _RefusedError(its.outcome)

    return Case(f"{_AGGREGATIONS[number] or 'fedavg'}, client {client}: {change}", run)


class _RefusedError(FedQMLError):
    """An update was refused, with a reason in the round's record."""


KINDS = {"updates": Kind(nothing, _case)}
