r"""The digits experiment in Flower's simulation engine with PennyLane's TorchLayer, for `benchmark_flower.py`.

A process of its own, which imports nothing of this package::

    FLOWER_PEER_SPLIT=split.npz FLOWER_PEER_DEVICE=default.qubit/backprop \
        python -c 'from parts.flower_peer import main; main()'

The last line that it prints is a JSON object: how long each round took, how many clients each round's average has, and
the last testing loss and accuracy. Flower has two cores: two clients train at a time, each in a process of Ray's with
one thread, which keeps its data and model from round to round.
"""

import json
import os
import sys
import time
from functools import cache

import numpy as np
import pennylane as qml
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from parts.paper_gates import paper_gates

CORES = 2
client_app, server_app = ClientApp(), ServerApp()
_ended: list[float] = []
_averaged: list[int] = []
_tested: list[tuple[float, float]] = []


@cache
def split() -> dict[str, np.ndarray]:
    """Return the data of clients and server, and the settings, as `benchmark_flower.py` wrote them."""
    with np.load(os.environ["FLOWER_PEER_SPLIT"], allow_pickle=False) as arrays:
        return dict(arrays)


@cache
def model() -> torch.nn.Sequential:
    """Return this process's model, with the initial weights of the split."""
    torch.set_num_threads(1)
    device, method = os.environ["FLOWER_PEER_DEVICE"].split("/")

    @qml.qnode(qml.device(device, wires=4), interface="torch", diff_method=method)
    def circuit(inputs, weights):
        paper_gates(qml, torch.arctan, inputs, weights)
        return [qml.expval(qml.PauliZ(q)) for q in range(4)]

    widths = [len(split()["w0"][0]), *(len(split()[name]) for name in ("w0", "w1"))]
    layer = qml.qnn.TorchLayer(circuit, {"weights": 24})
    made = torch.nn.Sequential(torch.nn.Linear(*widths[:2]), torch.nn.ReLU(), torch.nn.Linear(*widths[1:]), layer)
    with torch.no_grad():
        for parameter, name in zip(made.parameters(), ("w0", "b0", "w1", "b1", "angles"), strict=True):
            parameter.copy_(torch.from_numpy(split()[name]))
    return made


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """Train one local epoch on a client's examples."""
    net, data = model(), split()
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    rows = data["rows"][data["client"] == context.node_config["partition-id"]]
    features, labels = torch.from_numpy(data["x_train"][rows]), torch.from_numpy(data["y_train"][rows])
    optimizer = torch.optim.Adam(net.parameters(), lr=float(data["learning_rate"]))
    total = 0.0
    for batch in torch.randperm(len(rows)).split(int(data["batch_size"])):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(features[batch]), labels[batch])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    metrics = MetricRecord({"train_loss": total / len(rows), "num-examples": len(rows)})
    content = RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=message)


def test(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    """Test the aggregate on the server's examples, and note when that was."""
    net, data = model(), split()
    net.load_state_dict(arrays.to_torch_state_dict())
    with torch.no_grad():
        logits = net(torch.from_numpy(data["x_test"]))
    labels = torch.from_numpy(data["y_test"])
    loss = float(torch.nn.functional.cross_entropy(logits, labels))
    accuracy = float((logits.argmax(1) == labels).float().mean())
    _tested.append((loss, accuracy))
    _ended.append(time.perf_counter())
    return MetricRecord({"loss": loss, "accuracy": accuracy})


class Counting(FedAvg):
    """Flower's FedAvg, which counts the clients that it averages: where one fails, Flower only writes a line."""

    def aggregate_train(self, server_round: int, replies):
        """Count, and average."""
        replies = list(replies)
        _averaged.append(sum(not reply.has_error() for reply in replies))
        return super().aggregate_train(server_round, replies)


@server_app.main()
def serve(grid: Grid, context: Context) -> None:
    """Average a quarter of the clients, each round."""
    data = split()
    chosen, clients = int(data["clients_per_round"]), int(data["client"].max()) + 1
    strategy = Counting(
        fraction_train=chosen / clients,
        fraction_evaluate=0.0,
        min_train_nodes=chosen,
        min_available_nodes=clients,
    )
    strategy.start(grid, ArrayRecord(model().state_dict()), num_rounds=int(data["rounds"]), evaluate_fn=test)


def main() -> None:
    """Run the simulation, and print what was measured."""
    resources = {"num_cpus": 1, "num_gpus": 0.0}
    config = {"client_resources": resources, "init_args": {"num_cpus": CORES, "include_dashboard": False}}
    run_simulation(server_app, client_app, int(split()["client"].max()) + 1, backend_config=config)
    loss, accuracy = _tested[-1]
    rounds = np.diff(_ended).tolist()  # the first time is that of the test before the first round
    found = {"rounds": rounds, "clients": _averaged, "test_loss": loss, "test_accuracy": accuracy}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
