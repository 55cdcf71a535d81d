"""One deployment to which everything happens that may; the tests look at what it left."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from qiskit_fedqml.config.loading import load_experiment
from qiskit_fedqml.flower.deploying import Address, deploy
from qiskit_fedqml.flower.keys import make_node_keys
from tests.flower.machines import Machines, free_ports, wait_for

EXPERIMENT = {
    "seed": 3,
    "data": {"dataset": "digits", "classes": [0, 1], "test_fraction": 0.9},
    "features": {"scaling": {"method": "client_sums", "center": True}},
    "model": {"hidden": [8], "dropout": 0.1, "circuit": {"num_qubits": 2, "num_layers": 1}},
    "federation": {
        **{"clients": 3, "clients_per_round": 3, "rounds": 4, "batch_size": 12, "learning_rate": 0.02},
        "client_optimizer_state": "keep",
    },
    "backends": {
        "backends": {
            "ideal": {"type": "aer"},
            "noisy": {"type": "aer", "noise": "FakeManilaV2", "shots": 1024},
            "rehearsed": {"type": "ibm", "device": "FakeFez", "shots": 64},
        },
        "assignment": {"server": "ideal", "default": "ideal", "clients": {1: "noisy", 2: "rehearsed"}},
    },
}
"""Three clients: an ideal machine, a noisy one, and a device of IBM, rehearsed."""


@dataclass
class Outcome:
    """What happened.

    Args:
        folder: Where.
        error: What went wrong in the story itself; empty if nothing did.
        stranger: What a node said whose key is not registered.
        resent: What the server said of the task of the node that was killed.
        rounds_at_kill: Rounds that were done when the SuperLink was killed.
        first_run: What the server said until then.
        second_run: What it said from then on.
        second_code: Exit code of the `flwr run` after the SuperLink's restart.
        third_run: What the server said when it was started again on the finished run.
    """

    folder: str
    error: str = ""
    stranger: str = ""
    resent: str = ""
    rounds_at_kill: int = -1
    first_run: str = ""
    second_run: str = ""
    second_code: int = -1
    third_run: str = ""

    @property
    def local(self):
        """The result folder of the local engine."""
        return Path(self.folder) / "local"

    @property
    def deployed(self):
        """The result folder of the deployment."""
        return Path(self.folder) / "deployment" / "server" / "result"


def tell(folder):
    """Let the story happen in a folder, and write its outcome down."""
    outcome = Outcome(str(folder))
    machines = Machines(folder / "deployment")
    try:
        _happen(folder, machines, outcome)
    except BaseException as error:
        outcome.error = f"{type(error).__name__}: {error}"
        raise
    finally:
        machines.kill_all()
        part = folder / "outcome.part"
        part.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
        part.replace(folder / "outcome.json")


def _happen(folder, machines, outcome):
    (folder / "experiment.yaml").write_text(yaml.safe_dump(EXPERIMENT), encoding="utf-8")
    superlink, *nodes = free_ports(5)
    experiment = load_experiment(folder / "experiment.yaml")
    deploy(experiment, machines.folder, Address("127.0.0.1", superlink), shards=True)
    readme = machines.folder / "README.md"  # each node gets a port of its own, so that tests can run side by side
    text = readme.read_text(encoding="utf-8")
    for client, port in enumerate(nodes[:3]):
        text = text.replace(f"--port {9094 + client}\n", f"--port {port}\n")
    readme.write_text(text, encoding="utf-8")
    machines.start_superlink()
    registered = machines.run("register")
    assert registered.returncode == 0, registered.stdout + registered.stderr
    _send_a_stranger(machines, nodes, outcome)
    for client in range(3):
        machines.start_node(client)
    machines.start("run")
    _kill_a_node_at_work(machines)
    alone = [str(Path(sys.executable).parent / "fedqml"), "run", "experiment.yaml", "--out", "local"]
    subprocess.run(alone, cwd=folder, env=machines.environment, check=True, capture_output=True)
    machines.start_node(1, after_kill=True)
    wait_for(lambda: _rounds(outcome) >= 2 or _ended(machines))
    wait_for(lambda: "Round 3 of 4" in machines.log("run") or _ended(machines))
    outcome.first_run = machines.log("run")
    machines.kill("superlink")
    machines.kill("run")
    outcome.rounds_at_kill = _rounds(outcome)
    machines.start_superlink()
    second = machines.run("run")
    outcome.second_code, outcome.second_run = second.returncode, second.stdout + second.stderr
    outcome.third_run = (third := machines.run("run")).stdout + third.stderr


def _send_a_stranger(machines, ports, outcome):
    """Start a node that has everything but a key that is registered."""
    stranger = machines.folder / "stranger"
    shutil.copytree(machines.folder / "client-0", stranger)
    (stranger / "node.key").write_bytes(make_node_keys().private)
    command = machines.command("client 0").replace("cd client-0", "cd stranger")
    command = command.replace(f"--port {ports[0]}", f"--port {ports[3]}")
    process = machines.start("stranger", command)
    process.wait(400)
    machines.kill("stranger")
    outcome.stranger = machines.log("stranger")


def _kill_a_node_at_work(machines):
    """Kill the noisy client's node when it has just been given the task of the second round."""

    def works():
        return machines.log("client 1").count("Receiving: train message") >= 2 or _ended(machines)

    wait_for(works)
    machines.kill("client 1")


def _ended(machines):
    """Fail if the run has ended before its time."""
    assert machines.running["run"].poll() is None, machines.log("run")
    return False


def _rounds(outcome):
    path = outcome.deployed / "rounds.jsonl"
    return path.read_text(encoding="utf-8").count("\n") if path.exists() else 0
