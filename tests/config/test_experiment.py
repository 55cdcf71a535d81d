"""Experiment files: strictness, overrides, and that every key changes a run or is refused."""

import re
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from pydantic import BaseModel

from qiskit_fedqml import load_experiment, run_federation
from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.circuits.qpy_files import write_circuit
from qiskit_fedqml.config import backends as entries
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.loading import parse_override
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.data.given import write_given
from qiskit_fedqml.errors import ConfigurationError, FedQMLError
from tests.conftest import ROOT, TINY
from tests.own_parts import own_circuit, own_data


def put(data, key, value):
    parts = key.split(".")
    for part in parts[:-1]:
        data[part] = dict(data.get(part) or {})
        data = data[part]
    data[parts[-1]] = value


def outcome(changes):
    """Return what a tiny run gives, or why it is refused."""
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in TINY.items()}
    for key, value in changes.items():
        put(data, key, value)
    try:
        result = run_federation(validate(Experiment, data, "tiny"))
    except FedQMLError as error:
        return f"{type(error).__name__}: {error}"
    return [*(record.without_times() for record in result.rounds), result.final.round]


RATES = {"depolarizing": {"one_qubit": 0.01, "two_qubit": 0.02}, "amplitude_damping": {}, "readout": {}}
STATED = {"backends.backends.ideal.type": "aer", "backends.backends.ideal.noise": RATES}
MANILA = {"backends.backends.ideal.type": "aer", "backends.backends.ideal.noise": "FakeManilaV2"}
RING_OF_FOUR = {
    "model.circuit": {"num_qubits": 4, "num_layers": 1},
    "federation.rounds": 1,
    "federation.clients_per_round": 1,
}
TWO = {
    "backends.backends": {"ideal": {"type": "aer"}, "noisy": {"type": "aer", "noise": {"readout": 0.1}}},
}
SGD = {"federation.optimizer": "sgd"}
STOP = {"federation.rounds": 6, "federation.stop": {"patience": 1, "min_delta": 1.0}}
KEEP = {"federation.clients_per_round": 4}
SKEW = {"data.partition": {"scheme": "dirichlet", "alpha": 1.0}}
NPZ = {"data": {"dataset": "npz", "path": "features.npz"}}
IMAGES = {
    "data": {"dataset": "npz", "path": "images.npz"},
    "features": {
        "backbone": "squeezenet1_1",
        "layer": "features.2",
        "weights": "weights.pth",
        "image_size": 16,
        "pooling": "average",
    },
}
FOLDER = {"data": {"dataset": "image_folder", "path": "pictures", "test_fraction": 0.5}, "features": IMAGES["features"]}
CIFAR = {"data": {"dataset": "cifar10", "path": "cifar"}, "features": IMAGES["features"]}
GIVEN = {"data": {"dataset": "given", "path": "given.npz"}}
MADE = {"data": {"python": "tests.own_parts:own_data"}}
TABLE = {"data": {"dataset": "table", "path": "table.csv", "label": "y", "test_fraction": 0.3, "missing": "drop"}}
TWO_TABLES = {
    "data": {"dataset": "table", "path": "table.csv", "label": "y", "test_path": "more.csv", "missing": "drop"}
}
SAVED = {"data": {"dataset": "huggingface", "path": "saved", "column": "x", "test": "test"}}
SUMS = {"features.scaling": {"method": "client_sums"}}
IDEAL = "backends.backends.ideal"
NOISE = f"{IDEAL}.noise"
REHEARSAL = {
    "federation": {"clients": 20, "clients_per_round": 1, "rounds": 1, "learning_rate": 0.1},
    "backends.backends": {"exact": {"type": "aer"}, "ideal": {"type": "ibm", "device": "FakeManilaV2", "shots": 16}},
    "backends.assignment.server": "exact",
}
ON_A_CHIP = REHEARSAL | {
    "backends.backends": {"exact": {"type": "aer"}, "ideal": {"type": "ibm", "device": "FakeMontrealV2", "shots": 16}},
}
GENERIC = {
    **{"type": "backend", "factory": "qiskit.providers.fake_provider:GenericBackendV2", "shots": 16},
    "arguments": {"num_qubits": 2, "seed": 1},
}
PROVIDER = REHEARSAL | {"backends.backends": {"exact": {"type": "aer"}, "ideal": GENERIC}}

SIX = {"federation.clients": 6, "federation.clients_per_round": 3, "federation.rounds": 4}
BUFFERED = SIX | {
    "backends": {
        "backends": {"ideal": {"type": "aer"}, "noisy": {"type": "aer", "noise": {"readout": 0.2}}},
        "assignment": {"default": {"cycle": ["ideal", "noisy"]}},
    },
    "federation.algorithm": {"buffered": {"buffer": 2}},
    "scheduling": {"queue": {"lognormal": {"median_seconds": 60, "sigma": 1.0}}},
}
NODES = {"federation.clients": 6, "federation.clients_per_round": 6, "federation.rounds": 3}
ON_A_RING = NODES | {"federation.algorithm": {"gossip": {"graph": "ring"}}}
RANDOM_GRAPH = NODES | {"federation.algorithm": {"gossip": {"graph": {"random_regular": {"degree": 3}}}}}
BY_EDGES = NODES | {"federation.algorithm": {"gossip": {"graph": {"edges": [[k, k + 1] for k in range(5)]}}}}
LEAVING = NODES | {
    "federation.algorithm": {"gossip": {"graph": "ring", "leaving": {"probability": 0.5, "return_probability": 0.5}}}
}
ABSENT = NODES | {
    "federation.algorithm": {"gossip": {"graph": "ring", "absences": [{"node": 1, "first": 1, "last": 2}]}}
}
TRACED = BUFFERED | {"scheduling": {"queue": {"trace": [[0, 60]]}}}
BEST = BUFFERED | {"scheduling.policy": {"best": {}}}
EXPLORING = BUFFERED | {"scheduling.policy": {"explore_then_refine": {"refine_from": 2, "least_success": 1.0}}}
# Quito's calibration of 2021, until Manila's of 2024-05-27, 18:27 UTC, takes its place.
REPLAYED = BUFFERED | {
    "backends": {
        "backends": {
            "ideal": {"type": "aer"},
            "first": {"type": "aer", "noise": {"calibration": "quito.json"}},
            "second": {"type": "aer", "noise": {"calibration": "manila.json"}},
        },
        "assignment": {"default": {"cycle": ["ideal", "first"]}},
    },
    "scheduling": {
        "queue": {"lognormal": {"median_seconds": 1500, "sigma": 0.5}},
        "replay": {"start": "2024-05-27T18:00:00Z", "later": {"first": ["second"]}},
    },
}
OWN_MACHINE = {"backends.backends": {"ideal": {"type": "python", "python": "tests.own_machines:noise_model"}}}
OWN_QPY = {"model.circuit": {"qpy": "own.qpy", "inputs": "x", "weights": "w", "observables": ["IZ", "ZI"]}}
OWN_HEAD = {"model": {"head": {"python": "tests.own_parts:own_head"}, "circuit": {"num_qubits": 2, "num_layers": 1}}}
OWN_LOSS = {"model.loss": {"python": "tests.own_parts:focal"}}
OWN_PYTHON = {"model.circuit": {"python": "tests.own_parts:own_circuit"}}
# For each key: what the run has, and the value that must make a difference.
SEVEN = {"federation.clients": 7, "federation.clients_per_round": 7}
ELEVEN = {"federation.clients": 11, "federation.clients_per_round": 11}
FEDAVGM = {"aggregation.server_optimizer": {"method": "fedavgm"}}
FEDADAM = {"aggregation.server_optimizer": {"method": "fedadam"}}
PRIVATE_CLIENTS = {
    "privacy": {"delta": 1e-5, "randomness": "simulated", "clients": {"noise_multiplier": 1.0, "max_norm": 0.5}},
    "federation.on_client_failure": "skip",
    "aggregation.weights": "uniform",
}
ADAPTIVE = PRIVATE_CLIENTS | {"privacy.clients.adaptive": {"count_noise": 1.0}}
PRIVATE = {
    "privacy": {
        "delta": 1e-5,
        "randomness": "simulated",
        "examples": {"noise_multiplier": 1.0, "max_norm": 1.0, "sampling_rate": 0.25},
    },
    "aggregation.weights": "uniform",
}
PERTURBED = {
    "seed": ({}, 6),
    "data.dataset": (NPZ, "digits"),
    "data.classes": ({}, [0, 2]),
    "data.test_fraction": ({}, 0.7),
    "data.validation_fraction": ({}, 0.1),
    "data.path": (NPZ, "other.npz"),
    "data.download": (CIFAR | {"data": {"dataset": "cifar10", "path": "nowhere"}}, True),
    "data.partition.scheme": (SKEW, "quantity_skew"),
    "data.partition.alpha": (SKEW, 0.2),
    "data.partition.shards_per_client": ({"data.partition": {"scheme": "label_shards", "shards_per_client": 1}}, 2),
    "data.min_examples": (SKEW | {"data.min_examples": 20, "data.redraw": 99}, 50),
    "data.redraw": (SKEW | {"data.min_examples": 60, "data.redraw": 1}, 99),
    "data.partition": (GIVEN, {"scheme": "quantity_skew", "alpha": 1.0}),
    "data.python": (MADE, "tests.own_parts:Median"),
    "data.arguments": (MADE, {"seed": 1}),
    "data.label": (TABLE, "ward"),
    "data.features": (TABLE, ["age"]),
    "data.categories": (TABLE, ["ward"]),
    "data.test_path": (TWO_TABLES, "table.csv"),
    "data.missing": (TABLE, "mean"),
    "data.subset": (SAVED, "small"),
    "data.train": (SAVED, "other"),
    "data.test": (SAVED, "other"),
    "data.column": (SAVED, "z"),
    "features.backbone": (IMAGES, "vgg11"),
    "features.layer": (IMAGES, "features.0"),
    "features.weights": (IMAGES, "other.pth"),
    "features.image_size": (IMAGES, 20),
    "features.pooling": (IMAGES, "flatten"),
    "features.scaling.method": (SUMS, "constant"),
    "features.scaling.divisor": ({"features.scaling": {"method": "constant", "divisor": 1.0}}, 2.0),
    "features.scaling.per_feature": (SUMS, True),
    "features.scaling.center": (SUMS, True),
    "model.head": ({"model": {"circuit": {"num_qubits": 2}}}, "none"),
    "model.head.python": (OWN_HEAD, "tests.own_parts:LazyHead"),
    "model.head.arguments": (OWN_HEAD, {"width": 3}),
    "model.loss.python": (OWN_LOSS, "torch.nn:CrossEntropyLoss"),
    "model.loss.arguments": (OWN_LOSS, {"gamma": 0.5}),
    "model.hidden": ({}, [5]),
    "model.dropout": ({}, 0.5),
    "model.quantum": ({}, "frozen"),
    "model.device": ({}, "cuda"),
    "model.initial": ({}, "before"),
    "model.circuit.ansatz": ({}, "reuploading"),
    "model.circuit.qpy": (OWN_QPY, "turned.qpy"),
    "model.circuit.inputs": (OWN_QPY, ["x[1]", "x[0]"]),
    "model.circuit.weights": (OWN_QPY, ["w[1]", "w[0]", "w[2]", "w[3]"]),
    "model.circuit.observables": (OWN_QPY, ["IZ", {"ZZ": 0.5}]),
    "model.circuit.python": (OWN_PYTHON, "tests.own_parts:Median"),
    "model.circuit.arguments": (OWN_PYTHON, {"turned": True}),
    "model.circuit.num_qubits": ({}, 3),
    "model.circuit.num_layers": ({}, 2),
    "model.circuit.entanglement": ({}, "linear"),
    "federation.clients": ({}, 5),
    "federation.clients_per_round": ({}, 3),
    "federation.rounds": ({}, 1),
    "federation.local_epochs": ({}, 2),
    "federation.batch_size": ({}, 16),
    "federation.optimizer": ({}, "rmsprop"),
    "federation.learning_rate": ({}, 0.01),
    "federation.learning_rate_decay": ({}, 0.5),
    "federation.momentum": (SGD, 0.9),
    "federation.weight_decay": ({}, 0.1),
    "federation.proximal_mu": ({}, 1.0),
    "federation.client_optimizer_state": (KEEP, "keep"),
    "federation.lockstep": (KEEP, 4),
    "federation.on_client_failure": (
        TWO
        | {
            "backends.backends.bad": {"type": "aer", "noise": "FakeNone"},
            "backends.assignment": {"clients": {0: "bad"}},
        },
        "skip",
    ),
    "federation.client_seconds": ({"federation.on_client_failure": "skip"}, 1e-9),
    "federation.min_clients": ({"federation.on_client_failure": "skip", "federation.client_seconds": 1e-9}, 1),
    "federation.on_too_few": (
        {"federation.on_client_failure": "skip", "federation.client_seconds": 1e-9, "federation.min_clients": 1},
        "repeat",
    ),
    "federation.stop.patience": (STOP, 2),
    "federation.stop.min_delta": (STOP, 0.0),
    "federation.stop.metric": ({"federation.rounds": 6, "federation.stop": {"patience": 1}}, "accuracy"),
    "federation.keep_best": ({"federation.rounds": 6, "federation.learning_rate": 1.0}, "accuracy"),
    "aggregation.success_exponent": (
        {**TWO, "backends.assignment.default": {"cycle": ["ideal", "noisy"]}, "federation.clients_per_round": 4},
        2.0,
    ),
    "aggregation.weights": (
        {"data.partition": {"scheme": "quantity_skew", "alpha": 0.5}, "federation.clients_per_round": 4},
        "uniform",
    ),
    "aggregation.norm_bound": ({}, 0.01),
    "aggregation.norm_ratio": (SEVEN | {"data.partition": {"scheme": "quantity_skew", "alpha": 0.3}}, 1.01),
    "aggregation.rule.trimmed_mean.fraction": (
        SEVEN | {"aggregation.rule": {"trimmed_mean": {"fraction": 0.2}}},
        0.4,
    ),
    "aggregation.rule.krum.byzantine": (ELEVEN | {"aggregation.rule": {"krum": {"byzantine": 1}}}, 4),
    "aggregation.rule.multi_krum.byzantine": (SEVEN | {"aggregation.rule": {"multi_krum": {"byzantine": 1}}}, 2),
    "aggregation.rule.multi_krum.keep": (SEVEN | {"aggregation.rule": {"multi_krum": {"byzantine": 1}}}, 2),
    "aggregation.rule.bulyan.byzantine": (ELEVEN | {"aggregation.rule": {"bulyan": {"byzantine": 1}}}, 2),
    "aggregation.angles": ({"federation.learning_rate": 1.0}, "circular"),
    "aggregation.rule.python": ({"aggregation.rule": {"python": "tests.own_parts:Median"}}, "tests.own_parts:Half"),
    "aggregation.rule.arguments": ({"aggregation.rule": {"python": "tests.own_parts:Median"}}, {"factor": 0.5}),
    "federation.client_step.python": (
        {"federation.client_step": {"python": "tests.own_parts:Clipped"}},
        "qiskit_fedqml.federation.steps.minibatch:Minibatch",
    ),
    "federation.client_step.arguments": (
        {"federation.client_step": {"python": "tests.own_parts:Clipped"}},
        {"length": 1e-6},
    ),
    "federation.algorithm.python": (
        {"federation.algorithm": {"python": "tests.own_parts:InTurn"}},
        "qiskit_fedqml.federation.algorithms.synchronous:Synchronous",
    ),
    "federation.algorithm.arguments": ({"federation.algorithm": {"python": "tests.own_parts:InTurn"}}, {"first": 1}),
    "federation.algorithm.buffered.buffer": (BUFFERED, 3),
    "federation.algorithm.buffered.staleness_exponent": (BUFFERED, 2.0),
    "federation.algorithm.buffered.max_staleness": (BUFFERED, 0),
    "federation.algorithm.gossip.graph": (ON_A_RING, "complete"),
    "federation.algorithm.gossip.graph.random_regular.degree": (RANDOM_GRAPH, 4),
    "federation.algorithm.gossip.graph.edges": (BY_EDGES, [[0, k] for k in range(1, 6)]),
    "federation.algorithm.gossip.leaving.probability": (LEAVING, 0.1),
    "federation.algorithm.gossip.leaving.return_probability": (LEAVING, 1.0),
    "federation.algorithm.gossip.absences": (ABSENT, [{"node": 2, "first": 1, "last": 2}]),
    "federation.algorithm.gossip.test_nodes_every": (ON_A_RING, 2),
    "scheduling.queue.lognormal.median_seconds": (BUFFERED, 30),
    "scheduling.queue.lognormal.sigma": (BUFFERED, 0.5),
    "scheduling.queue.trace": (TRACED, [[0, 60], [100, 5]]),
    "scheduling.queues": (BUFFERED, {"noisy": {"lognormal": {"median_seconds": 9, "sigma": 0.1}}}),
    "scheduling.job_seconds": (BUFFERED, 1.0),
    "scheduling.execution_seconds": (BUFFERED, 1.0),
    "scheduling.policy": (BUFFERED, "expected_queue"),
    "scheduling.policy.best.success_exponent": (BEST, 20.0),
    "scheduling.policy.best.age_half_life_hours": (
        REPLAYED | {"scheduling.policy": {"best": {"success_exponent": 0.1, "age_half_life_hours": 1e6}}},
        1.0,
    ),
    "scheduling.policy.explore_then_refine.refine_from": (EXPLORING, 4),
    "scheduling.policy.explore_then_refine.least_success": (EXPLORING, 0.1),
    "scheduling.replay.start": (REPLAYED, "2024-05-26"),
    "scheduling.replay.later": (REPLAYED, {"first": ["ideal"]}),
    "aggregation.server_optimizer.method": (FEDAVGM, "fedadam"),
    "aggregation.server_optimizer.momentum": (FEDAVGM, 0.5),
    "aggregation.server_optimizer.learning_rate": (FEDAVGM, 0.5),
    "aggregation.server_optimizer.beta_1": (FEDADAM, 0.5),
    "aggregation.server_optimizer.beta_2": (FEDADAM, 0.5),
    "aggregation.server_optimizer.tau": (FEDADAM, 0.5),
    "evaluation.backends": (TWO, ["noisy"]),
    "evaluation.metrics": ({}, ["auc"]),
    "backends.assignment.server": (TWO, "noisy"),
    "backends.assignment.default": (TWO, "noisy"),
    "backends.assignment.default.cycle": (
        TWO | {"backends.assignment.default": {"cycle": ["ideal"]}},
        ["ideal", "noisy"],
    ),
    "backends.assignment.default.random": (
        TWO | {"backends.assignment.default": {"random": ["ideal"], "seed": 1}},
        ["ideal", "noisy"],
    ),
    "backends.assignment.default.seed": (TWO | {"backends.assignment.default": {"random": ["ideal", "noisy"]}}, 4),
    "backends.assignment.clients": (TWO, {"0-3": "noisy"}),
    "backends.backends.ideal.type": ({"backends.backends.ideal": {"type": "aer"}}, "ibm"),
    "backends.backends.ideal.noise_factor": (STATED, 2.0),
    NOISE: (STATED, "FakeManilaV2"),
    "backends.backends.ideal.shots": (STATED, 64),
    "backends.backends.ideal.optimization_level": (MANILA, 0),
    "backends.backends.ideal.simulator": ({"backends.backends.ideal": {"type": "aer"}}, "aer"),
    "backends.backends.ideal.transpiler_seed": (
        MANILA | RING_OF_FOUR | {"backends.backends.ideal.optimization_level": 1},
        None,
    ),
    f"{IDEAL}.mitigation.readout": (MANILA | {f"{IDEAL}.mitigation": {"zne": {}}}, True),
    f"{IDEAL}.mitigation.zne.factors": (MANILA | {f"{IDEAL}.mitigation": {"zne": {}}}, [1, 5]),
    f"{IDEAL}.mitigation.zne.extrapolator": (MANILA | {f"{IDEAL}.mitigation": {"zne": {}}}, "exponential"),
    f"{NOISE}.calibration": (
        {f"{NOISE}": {"calibration": "manila.json"}, "backends.backends.ideal.type": "aer"},
        "quito.json",
    ),
    f"{NOISE}.depolarizing.one_qubit": (STATED, 0.1),
    f"{NOISE}.depolarizing.two_qubit": (STATED, 0.1),
    f"{NOISE}.amplitude_damping.one_qubit": (STATED, 0.1),
    f"{NOISE}.amplitude_damping.two_qubit": (STATED, 0.1),
    f"{NOISE}.readout.read_1_if_0": (STATED, 0.1),
    f"{NOISE}.readout.read_0_if_1": (STATED, 0.1),
    f"{IDEAL}.device": (REHEARSAL, "FakeQuitoV2"),
    f"{IDEAL}.account": (REHEARSAL, "mine"),
    f"{IDEAL}.instance": (REHEARSAL, "mine"),
    f"{IDEAL}.channel": (REHEARSAL, "ibm_cloud"),
    f"{IDEAL}.primitive": (REHEARSAL, "estimator"),
    f"{IDEAL}.resilience_level": (REHEARSAL, 1),
    f"{IDEAL}.options": (REHEARSAL, {"twirling": {"enable_measure": True, "num_randomizations": 2}}),
    f"{IDEAL}.test_shots": (REHEARSAL | {"evaluation.backends": ["ideal"]}, 50),
    f"{IDEAL}.rep_delay_seconds": (REHEARSAL, 1e-4),
    f"{IDEAL}.initial_layout": (REHEARSAL, [0, 1]),
    f"{IDEAL}.layout_trials": (REHEARSAL | {f"{IDEAL}.transpiler_seed": 2}, None),
    f"{IDEAL}.gradient": (REHEARSAL, {"spsa": {}}),
    f"{IDEAL}.gradient.random_shifts.fraction": (
        REHEARSAL | {f"{IDEAL}.gradient": {"random_shifts": {"fraction": 1.0}}},
        0.2,
    ),
    f"{IDEAL}.blocks": (ON_A_CHIP, "auto"),
    f"{IDEAL}.blocks.separation": (ON_A_CHIP | {f"{IDEAL}.blocks": {"separation": 1}}, 0),
    f"{IDEAL}.blocks.least_success": (ON_A_CHIP | {f"{IDEAL}.blocks": {"least_success": 0.7}}, 1.0),
    f"{IDEAL}.blocks.most": (ON_A_CHIP | {f"{IDEAL}.blocks": {}}, 2),
    f"{IDEAL}.blocks.spread": (ON_A_CHIP | {f"{IDEAL}.blocks": {"spread": "samples"}}, "clients"),
    f"{IDEAL}.joint": (REHEARSAL | {"federation.clients_per_round": 2}, True),
    f"{IDEAL}.gradient.spsa.perturbation": (REHEARSAL | {f"{IDEAL}.gradient": {"spsa": {"perturbation": 0.2}}}, 0.9),
    f"{IDEAL}.task": (REHEARSAL, "evaluate"),
    f"{IDEAL}.max_execution_seconds": (REHEARSAL, 2),
    f"{IDEAL}.budget_seconds": (REHEARSAL, 1.5),
    f"{IDEAL}.python": (OWN_MACHINE, "tests.own_machines:product_state_simulator"),
    f"{IDEAL}.factory": (PROVIDER, "tests.backends.providers.shop:nothing"),
    f"{IDEAL}.arguments": (PROVIDER, {"num_qubits": 2, "seed": 2}),
    f"{IDEAL}.budget_executions": (PROVIDER, 10),
    "backends.budget_seconds": (REHEARSAL, 1.5),
    "privacy.delta": (PRIVATE_CLIENTS, 1e-4),
    "privacy.epsilon": (PRIVATE_CLIENTS, 5.0),
    "privacy.randomness": (PRIVATE_CLIENTS, "system"),
    "privacy.clients.noise_multiplier": (PRIVATE_CLIENTS, 1.1),
    "privacy.clients.max_norm": (PRIVATE_CLIENTS, 0.6),
    "privacy.clients.adaptive.quantile": (ADAPTIVE, 0.9),
    "privacy.clients.adaptive.learning_rate": (ADAPTIVE, 0.5),
    "privacy.clients.adaptive.count_noise": (ADAPTIVE, 2.0),
    "privacy.examples.noise_multiplier": (PRIVATE, 1.5),
    "privacy.examples.max_norm": (PRIVATE, 0.1),
    "privacy.examples.sampling_rate": (PRIVATE, 0.5),
}

OF_THE_EXECUTOR = {f"{IDEAL}.{key}" for key in ("primitive", "resilience_level", "options")}
# What only a service or a plan shows: held by tests/backends/ and tests/planning/.
OF_A_SERVICE = {
    f"{IDEAL}.{key}"
    for key in (
        *("device.least_busy.min_qubits", "device.least_busy.processor", "mode", "price_per_minute", "on_cancellation"),
        *("price_per_shot", "price_per_task", "circuits_per_task", "on_lost_job"),
        *("waiting.poll_seconds", "waiting.request_seconds", "waiting.outage_seconds", "waiting.queue_seconds"),
    )
}
# What changes where a run is shown, and never its result: held by tests/tracking/.
OF_A_TRACKER = {f"tracking.{key}" for key in ("tensorboard", "mlflow.uri", "mlflow.experiment")}
# As those of scheduling.queue.
OF_ONE_QUEUE = {f"scheduling.queues.{key}" for key in ("lognormal.median_seconds", "lognormal.sigma", "trace")}
# What an item of evaluation.metrics has; held by tests/model/test_metrics.py.
OF_A_METRIC = {f"evaluation.metrics.{key}" for key in ("python", "arguments")}
# What an item of absences has; held by tests/federation/algorithms/test_gossip.py.
OF_AN_ABSENCE = {f"federation.algorithm.gossip.absences.{key}" for key in ("node", "first", "last")}
# What changes where a run computes, and never its result: held by tests/federation/executors/.
OF_A_PLACE = {"federation.workers"}
# What changes what is kept of a run, and never its result: held by tests/results/ and tests/ledger/.
OF_A_FOLDER = {"checkpoints.keep", "checkpoints.every", "ledger"}
# What only nodes do, and is refused here: held by tests/flower/.
OF_A_DEPLOYMENT = {f"aggregation.secure.{key}" for key in ("threshold", "clipping_range")}
# What a run writes down of an object that it was given: held by tests/federation/test_own_machines.py.
OF_A_RUN = {f"{IDEAL}.class_", f"{IDEAL}.described"}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with small data of every kind, which runs find."""
    folder = tmp_path_factory.mktemp("perturbed")
    rng = np.random.default_rng(0)
    labels = {"y_train": np.arange(40) % 2, "y_test": np.arange(20) % 2}
    for name in ("features", "other"):
        np.savez(folder / f"{name}.npz", x_train=rng.normal(size=(40, 3)), x_test=rng.normal(size=(20, 3)), **labels)
    pixels = {f"x_{part}": rng.integers(0, 256, (n, 16, 16, 3), np.uint8) for part, n in (("train", 40), ("test", 20))}
    np.savez(folder / "images.npz", **pixels, **labels)
    for name in ("manila", "quito"):
        fake_calibration(f"Fake{name.title()}V2").save(folder / f"{name}.json")
    for name, turned in (("own", False), ("turned", True)):
        write_circuit(own_circuit(turned=turned), folder / f"{name}.qpy")
    run_federation(validate(Experiment, TINY, "tiny"), folder / "before")
    given_to(folder)
    try:
        import torchvision
    except (ImportError, RuntimeError):
        return folder
    torch.manual_seed(0)
    for name in ("weights", "other"):
        torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), folder / f"{name}.pth")
    return folder


def given_to(folder):
    """Write data of a user's own: given ones, tables, and, where the library is installed, a saved dataset."""
    path, _ = write_given(own_data(is_divided=False), folder)
    path.rename(folder / "given.npz")
    rng = np.random.default_rng(1)
    for name, rows in (("table", 60), ("more", 30)):
        lines = [f"{rng.normal()},{rng.normal() if k % 9 else ''},{'AB'[k // 2 % 2]},{k % 2}" for k in range(rows)]
        (folder / f"{name}.csv").write_text("\n".join(["age,bmi,ward,y", *lines]))
    if find_spec("datasets"):
        import datasets

        columns = {name: rng.normal(size=(30, 3)).tolist() for name in "xz"} | {"label": [0, 1] * 15}
        parts = {name: datasets.Dataset.from_dict(columns) for name in ("train", "test")}
        parts["other"] = parts["train"].select(range(10))
        datasets.DatasetDict(parts).save_to_disk(folder / "saved")


OUTCOMES = {}
"""What the runs that keys are perturbed from gave: many keys have the same."""


@pytest.mark.parametrize("key", PERTURBED)
def test_every_key_changes_the_run_or_is_refused(key, here, monkeypatch, cache):
    base, value = PERTURBED[key]
    if key in OF_THE_EXECUTOR and find_spec("qiskit_ibm_runtime.executor_estimator") is None:
        pytest.skip("EstimatorV2 has no choice of primitive, and mitigates on the server alone")
    if base.get("features") is IMAGES["features"]:
        pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))
    for kind, library in (("table", "pyarrow"), ("huggingface", "datasets")):
        if base.get("data", {}).get("dataset") == kind:
            pytest.importorskip(library)
    monkeypatch.chdir(here)
    monkeypatch.setenv("FEDQML_DATA", str(here))
    if key.endswith("transpiler_seed"):
        # Seeds may find the same layout: some of a few must find another.
        outcomes = [str(outcome({**base, key: seed})) for seed in range(4)]
        assert len(set(outcomes)) > 1
        return
    if (asked := str(base)) not in OUTCOMES:
        OUTCOMES[asked] = outcome(base)
    assert outcome({**base, key: value}) != OUTCOMES[asked]


ENTRIES = {entries.AerEntry, entries.IBMEntry, entries.ProviderEntry, entries.PythonEntry, entries.ObjectEntry}


def leaves(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Return the dotted names of all values that a model takes, whatever its unions choose."""
    found = set()
    for name, info in model.model_fields.items():
        inner = list(models_in(info.annotation))
        key = f"{prefix}{name}"
        if not inner or name in {"default"}:
            found.add(key)
        for sub in inner:
            step = "ideal." if sub in ENTRIES else ""
            found |= leaves(sub, f"{key}.{step}")
    return found


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from models_in(argument)


def test_no_key_is_left_out():
    of_no_result = OF_A_RUN | OF_A_SERVICE | OF_A_TRACKER | OF_A_PLACE | OF_A_FOLDER | OF_ONE_QUEUE | OF_A_METRIC
    of_no_result |= OF_AN_ABSENCE | OF_A_DEPLOYMENT
    assert leaves(Experiment) - set(PERTURBED) - of_no_result == set()


NOISY = {f"{IDEAL}.type": "aer", NOISE: "FakeManilaV2"}
TWO_GRADIENTS = rf"key '{IDEAL}.gradient': must be parameter_shift, .random_shifts: .fraction: F.. or .spsa: .*RAD"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fedration.rounds": 3}, "unknown key 'fedration'; did you mean 'federation'"),
        ({"federation.round": 3}, "unknown key 'federation.round'; did you mean 'rounds'"),
        ({"data.clases": [0, 1]}, "unknown key 'data.clases'; did you mean 'classes'"),
        (
            {"data.dataset": "digit"},
            "key 'data.dataset': must be 'digits', 'npz', 'cifar10', 'image_folder', 'table', 'huggingface' or 'given'"
            ", but got 'digit'",
        ),
        ({"data.path": "x"}, "unknown key 'data.path'; known are classes"),
        ({**PRIVATE, "privacy.examples": None}, "must name one of examples and clients"),
        ({**PRIVATE, **SUMS}, "client_sums cannot come with privacy.examples"),
        ({**PRIVATE, "aggregation.weights": "examples"}, "weights: examples cannot come with privacy.examples"),
        ({**PRIVATE, "federation.lockstep": 4}, "lockstep: 4 cannot come with privacy.examples"),
        ({**PRIVATE, **OWN_LOSS}, "a loss of your own cannot come with privacy.examples: it might mix examples"),
        ({**PRIVATE, **TABLE, "data.missing": "mean"}, "data.missing: mean cannot come with privacy.examples"),
        (
            {**PRIVATE, "federation.client_step": {"python": "tests.own_parts:Clipped"}},
            "a client_step of your own cannot come with privacy.examples: it would take the place of DP-SGD",
        ),
        (
            {**ON_A_CHIP, **PRIVATE, "federation.clients_per_round": 2, f"{IDEAL}.blocks": "auto"},
            "blocks of a device cannot come with privacy.examples: which block an example gets",
        ),
        ({"data.partition": "iid"}, "key 'data.partition': must be a mapping of keys to values, but got 'iid'"),
        ({"model.hidden": 16}, "key 'model.hidden': must be a list, but got 16"),
        ({"seed": "abc"}, "key 'seed': must be a whole number, but got 'abc'"),
        ({"data.classes": [1]}, "at least 2"),
        ({"data.classes": [1, 1]}, "classes must differ"),
        ({"data.redraw": 3}, "redraw has no effect with min_examples: 1"),
        ({"data.redraw": 3, "data.min_examples": 9}, "redraw has no effect with partition: {scheme: iid}"),
        ({**MADE, "data.redraw": 3, "data.min_examples": 9}, "redraw has no effect with partition: {scheme: iid}"),
        ({**MADE, "data.path": "x"}, "unknown key 'data.path'"),
        ({"data": {"python": "own_data"}}, "'data.python': must match pattern"),
        ({**TABLE, "data.test_path": "x"}, "one of test_path and test_fraction must say what the test data are"),
        ({**TABLE, "data.test_fraction": None}, "one of test_path and test_fraction must say"),
        ({**TABLE, "data.features": ["y"]}, "a column is the label, a feature or a category, and once.*: y"),
        ({**TABLE, "data.features": []}, "features must name a column where there are no categories"),
        ({**SAVED, "data.test_fraction": 0.2}, "one of test and test_fraction must say"),
        ({**SAVED, "data.test": "train"}, "train and test must be two splits, but are both train"),
        ({**SAVED, "data.label": "x"}, "column and label must differ, but are both x"),
        ({"data.partition": {"scheme": "dirichlet"}}, "'data.partition.alpha' is missing"),
        ({"data.partition": {"scheme": "dirichlet", "alpha": 0}}, "'data.partition.alpha'.*greater than 0, but got 0"),
        ({"federation.rounds": 0}, "'federation.rounds'.*but got 0"),
        ({"federation.rounds": "many"}, "'federation.rounds'.*but got 'many'"),
        ({"federation.lockstep": 0}, r"'federation.lockstep': must be 'auto' or greater than 0, but got 0\.$"),
        ({"federation.workers": "two"}, r"'federation.workers': must be 'auto' or a whole number, but got 'two'\.$"),
        (
            {"federation.algorithm": "bufferd"},
            r"must be synchronous, \{buffered: \{buffer: K\}\}, \{gossip: .* or .*but got 'bufferd'\.$",
        ),
        (
            {"scheduling": {"queue": {"trace": []}}},
            r"'scheduling.queue.trace': must have at least 1 item, but got \[\]",
        ),
        ({"scheduling": {"queue": {"trace": [[0, "a"]]}}}, "'scheduling.queue.trace.0.1': must be a number, .*'a'[.]$"),
        ({"scheduling": {"queue": {"trace": [[0, 5], [3600]]}}}, "key 'scheduling.queue.trace.1.1' is missing[.]$"),
        ({"scheduling": {"queue": {"trace": [[0, 5, 7]]}}}, "'scheduling.queue.trace.0': .*2 items, but got"),
        (
            {"federation.lockstep": 4, "federation.clients_per_round": 1},
            "lockstep has no effect with clients_per_round",
        ),
        (
            {"federation.lockstep": 4, "federation.client_step": {"python": "tests.own_parts:Clipped"}},
            "lockstep has no effect with a client_step of your own",
        ),
        (
            {"federation.lockstep": 2, f"{IDEAL}.type": "ibm", f"{IDEAL}.device": "FakeManilaV2"},
            "lockstep has no effect without clients on a simulated backend",
        ),
        (
            {"federation.workers": 2, f"{IDEAL}.type": "ibm", f"{IDEAL}.device": "FakeManilaV2"},
            "workers has no effect without clients on a simulated backend",
        ),
        ({"federation.clients_per_round": 9}, r"clients_per_round \(9\) must be at most clients \(4\)"),
        ({"federation.min_clients": 3}, r"min_clients \(3\) must be at most clients_per_round \(2\)"),
        ({"federation.on_too_few": "repeat"}, "on_too_few: repeat has no effect with min_clients: 0"),
        (
            {f"{IDEAL}": {"type": "ibm", "device": "FakeManilaV2"}, "federation.client_seconds": 1.0},
            "client_seconds has no effect where all clients train on devices",
        ),
        ({"federation.momentum": 0.9}, "momentum is for the optimizers sgd and rmsprop"),
        ({"federation.learning_rate": float("nan")}, "'federation.learning_rate'"),
        ({"features.backbone": "vgg16"}, "come together; missing"),
        ({"model.dropout": 1.0}, "'model.dropout'"),
        ({"model.quantum": "classical", "evaluation.backends": ["ideal"]}, "have no effect"),
        ({"model.quantum": "classical", "model.circuit.entanglement": "linear"}, "entanglement has no effect"),
        (
            {"model.quantum": "classical", "model.circuit": {"ansatz": "reuploading"}},
            "reuploading has no effect with quantum: classical",
        ),
        (
            {"model.circuit.ansatz": "qnn"},
            "key 'model.circuit.ansatz': must be 'paper', 'reuploading', 'qcnn' or 'tree', but got 'qnn'",
        ),
        ({"model.circuit.num_qubit": 3}, "unknown key 'model.circuit.num_qubit'; did you mean 'num_qubits'"),
        ({"model.circuit.ansatz": "tree"}, "unknown key 'model.circuit.num_layers'; known are ansatz, num_qubits"),
        (
            {"model.circuit": {"ansatz": "qcnn", "entanglement": "ring"}},
            "unknown key 'model.circuit.entanglement'; known are ansatz, num_qubits",
        ),
        ({"model.circuit": "tree"}, "key 'model.circuit': must be a mapping of keys to values, but got 'tree'"),
        ({"model.hidden": [], "model.dropout": 0.5}, "dropout 0.5 has no effect"),
        ({"model.head": "none"}, "hidden has no effect with head: none, only with head: mlp"),
        ({"model": {"head": {"python": "a:b"}, "dropout": 0.1}}, "dropout has no effect with a head of your own"),
        ({"model": {"head": "none", "quantum": "none"}}, "head: none with quantum: none leaves nothing to train"),
        ({"model": {"head": "none", "quantum": "frozen"}}, "head: none with quantum: frozen leaves nothing to train"),
        ({"model.head": "conv"}, "key 'model.head': must be mlp, none or {python: 'module:name', .*but got 'conv'"),
        ({"model.quantum": "none"}, "circuit has no effect with quantum: none"),
        ({"model": {"quantum": "none"}, "evaluation.backends": ["ideal"]}, "have no effect with .*quantum: none"),
        ({"model": {"quantum": "none"}, "scheduling": BUFFERED["scheduling"]}, "scheduling has no effect with model"),
        ({"model.loss": "mse"}, "key 'model.loss': must be cross_entropy or {python: .*but got 'mse'"),
        ({**OWN_LOSS, "federation.lockstep": 2}, "lockstep has no effect with a loss of your own"),
        ({**OWN_HEAD, "federation.lockstep": 2}, "lockstep has no effect with a head of your own"),
        ({"evaluation.metrics": ["auc", "auc"]}, "metrics must have different names, but are auc, auc"),
        (
            {"evaluation.metrics": [{"python": "m:f1"}]},
            "functions in metrics must not be called accuracy, auc, f1, .* f1",
        ),
        ({"evaluation.metrics": ["roc"]}, "key 'evaluation.metrics.0': must be accuracy, auc, f1 or {python: .*'roc'"),
        ({"federation.optimizer": "sgd", "federation.client_optimizer_state": "keep"}, "keep has no effect"),
        ({"evaluation.backends": ["ideal", "ideal"]}, "must differ"),
        ({"checkpoints.keep": 0}, "'checkpoints.keep'.*but got 0"),
        ({**REHEARSAL, "checkpoints.every": 2}, "checkpoints.every must be 1 with devices, such as 'ideal', but is 2"),
        ({"federation.rounds": True}, "'federation.rounds'.*but got true"),
        ({**SUMS, "features.scaling.center": "yes"}, "'features.scaling.center': must be true or false, but got 'yes'"),
        ({"federation.rounds": "1"}, "'federation.rounds'.*but got '1'"),
        ({"federation.learning_rate": True}, "'federation.learning_rate'.*but got true"),
        ({"evaluation.backends": ["manila"]}, "evaluation.backends names the backend 'manila'"),
        (ON_A_CHIP | {f"{IDEAL}.blocks": True}, "blocks': must be off, auto or a mapping .*, but got true"),
        ({**NOISY, f"{IDEAL}.blocks": "on"}, "blocks': must be off, auto or a mapping .*, but got 'on'"),
        (REHEARSAL | {f"{IDEAL}.gradient": {"spsa": {}, "random_shifts": {"fraction": 0.5}}}, TWO_GRADIENTS),
        (REHEARSAL | {f"{IDEAL}.gradient": {"random_shift": {"fraction": 0.5}}}, TWO_GRADIENTS),
    ],
)
def test_wrong_experiments_are_refused_with_the_key(changes, message):
    data = deepcopy(TINY)
    for key, value in changes.items():
        put(data, key, value)
    with pytest.raises(ConfigurationError, match=message) as error:
        validate(Experiment, data, "e.yaml")
    assert str(error.value).startswith("e.yaml: ")
    assert re.search(r"[^.?][.?]$", str(error.value))


@pytest.mark.parametrize("ansatz", ["reuploading", "qcnn", "tree"])
def test_every_ansatz_has_keys_that_change_the_run(ansatz):
    small = {"model.circuit": {"ansatz": ansatz, "num_qubits": 4}, "federation.rounds": 1}
    changes = {"num_qubits": 8, **({"num_layers": 1, "entanglement": "linear"} if ansatz == "reuploading" else {})}
    before = outcome(small)
    assert isinstance(before, list)
    assert all(
        outcome({**small, "model.circuit": {**small["model.circuit"], key: value}}) != before
        for key, value in changes.items()
    )


def test_an_experiment_without_an_ansatz_has_the_papers():
    assert "ansatz" not in TINY["model"]["circuit"]
    experiment = validate(Experiment, TINY, "tiny")
    assert experiment.resolved()["model"]["circuit"]["ansatz"] == "paper"


def test_overrides_reach_into_defaults_and_backends(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump({**TINY, "backends": "array.yaml"}))
    (tmp_path / "array.yaml").write_text("backends: {ideal: {type: aer}, other: {type: aer, shots: 5}}")
    experiment = load_experiment(
        path,
        {"federation.rounds": 7, "features.scaling": {"method": "client_sums"}, "backends.assignment.default": "other"},
    )
    assert experiment.federation.rounds == 7
    assert experiment.backends.assignment.default == "other"
    with pytest.raises(ConfigurationError, match="'seed' is a value and has no keys"):
        load_experiment(path, {"seed.x": 1})


def test_backends_of_another_file(tmp_path):
    experiment = load_experiment(ROOT / "experiments" / "digits.yaml", {"backends": ROOT / "backends.yaml"})
    assert "manila" in experiment.backends.backends


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "seed: 1\nseed: 2"])
def test_files_that_are_no_experiment(tmp_path, text):
    path = tmp_path / "e.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"e\.yaml"):
        load_experiment(path)


def test_overrides_are_left_as_they_are(tmp_path):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    overrides = {"federation": {"clients": 20, "clients_per_round": 1, "rounds": 1}, "federation.rounds": 2}
    assert load_experiment(tmp_path / "tiny.yaml", overrides).federation.rounds == 2
    assert overrides["federation"]["rounds"] == 1


def test_overrides_on_the_command_line():
    assert parse_override("federation.rounds=3") == ("federation.rounds", 3)
    assert parse_override("federation.learning_rate=1e-4") == ("federation.learning_rate", 1e-4)
    assert parse_override("model.hidden=[5, 6]") == ("model.hidden", [5, 6])
    for text in ("rounds", "=3", "a=["):
        with pytest.raises(ConfigurationError):
            parse_override(text)


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_experiments_are_valid_and_name_no_place(path):
    experiment = load_experiment(path)
    assert validate(Experiment, experiment.resolved(), "resolved") == experiment
    assert not Path(getattr(experiment.data, "path", "x")).is_absolute()


def test_resolved_configuration_keeps_its_calibration(tmp_path):
    fake_calibration("FakeManilaV2").save(tmp_path / "manila.json")
    (tmp_path / "array.yaml").write_text(
        "backends: {ideal: {type: aer}, m: {type: aer, noise: {calibration: manila.json}}}\nassignment: {default: m}"
    )
    (tmp_path / "e.yaml").write_text(yaml.safe_dump({**TINY, "backends": "array.yaml"}))
    result = run_federation(load_experiment(tmp_path / "e.yaml", {"federation.rounds": 1}), tmp_path / "out")
    stored = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert stored["backends"]["backends"]["m"]["noise"] == {"calibration": "calibrations/m.json"}
    (tmp_path / "manila.json").unlink()
    from qiskit_fedqml import RunResult

    again = run_federation(RunResult.load(tmp_path / "out").experiment)
    assert [r.without_times() for r in again.rounds] == [r.without_times() for r in result.rounds]
    run_federation(RunResult.load(tmp_path / "out").experiment, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "calibrations" / "m.json").exists()
