"""Secure aggregation among three SuperNodes in processes of their own, over encrypted and authenticated connections."""

import pytest
import yaml

from qiskit_fedqml.config.loading import load_experiment
from qiskit_fedqml.federation.runs.run import run_federation
from qiskit_fedqml.flower.deploying import Address, deploy
from qiskit_fedqml.results.result import RunResult
from tests.flower.machines import Machines, free_ports

EXPERIMENT = {
    "seed": 3,
    "data": {"dataset": "digits", "classes": [0, 1], "test_fraction": 0.9},
    "model": {"hidden": [8], "dropout": 0.1, "circuit": {"num_qubits": 2, "num_layers": 1}},
    "federation": {"clients": 3, "clients_per_round": 3, "rounds": 1, "batch_size": 12, "learning_rate": 0.02},
}


@pytest.mark.slow
def test_three_nodes_hide_their_updates_and_the_model_is_the_plain_one(tmp_path):
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(EXPERIMENT | {"aggregation": {"secure": {"threshold": 2}}}), encoding="utf-8")
    superlink, *ports = free_ports(4)
    machines = Machines(tmp_path / "deployment")
    deploy(load_experiment(path), machines.folder, Address("127.0.0.1", superlink), shards=True)
    readme = machines.folder / "README.md"
    text = readme.read_text(encoding="utf-8")
    for client, port in enumerate(ports):
        text = text.replace(f"--port {9094 + client}\n", f"--port {port}\n")
    readme.write_text(text, encoding="utf-8")
    try:
        machines.start_superlink()
        assert machines.run("register").returncode == 0
        for client in range(3):
            machines.start_node(client)
        done = machines.run("run")
        logs = done.stdout + done.stderr
    finally:
        machines.kill_all()
    assert done.returncode == 0, logs
    assert "Round 1 of 1" in logs
    result = RunResult.load(machines.folder / "server" / "result")
    plain = run_federation(load_experiment(path, {"aggregation.secure": None}))
    for name, tensor in plain.state.items():
        assert float((tensor - result.state[name]).abs().max()) < 2e-6, name
    for record in result.rounds:
        assert [client.outcome for client in record.clients] == ["ok"] * 3
        assert [client.train_loss for client in record.clients] == [None] * 3
