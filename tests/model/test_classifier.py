import numpy as np
import pytest
import torch
from torch import nn

from qiskit_fedqml import paper_circuit, qcnn_circuit, quantum_layer, reuploading_circuit, tree_circuit
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.model.building import Blueprint, build_head, initial_circuit_weights
from qiskit_fedqml.model.circuit import circuit_for
from qiskit_fedqml.model.classifier import MatchedClassicalLayer
from qiskit_fedqml.model.dropout import SeededDropout
from qiskit_fedqml.model.linear import OneDnnLinear
from qiskit_fedqml.seeds import derive_seed, torch_generator

SPEC = paper_circuit()


def model(**options):
    config = ModelConfig(hidden=(6,), **options)
    blueprint = Blueprint(3, config, SPEC, 5, 2, np.array([1.0]), np.array([2.0]))
    layer = blueprint.layer_on(AerBackend("ideal")) if blueprint.has_circuit else None
    return blueprint.build(layer, initial_head=True)


def test_head_is_table_1():
    head = build_head(10, ModelConfig(hidden=(8, 7)), 4, seed=0)
    kinds = [type(m) for m in head]
    assert kinds == [OneDnnLinear, nn.ReLU, SeededDropout, OneDnnLinear, nn.ReLU, SeededDropout, OneDnnLinear]
    assert [tuple(m.weight.shape) for m in head if isinstance(m, nn.Linear)] == [(8, 10), (7, 8), (4, 7)]
    assert {m.probability for m in head if isinstance(m, SeededDropout)} == {0.5}
    assert ModelConfig().hidden == (4096, 4096)


def test_initial_weights_are_seeded_and_in_range_without_the_global_generator():
    before = torch.get_rng_state()
    first, again = (build_head(10, ModelConfig(hidden=(8,)), 4, seed=1).state_dict() for _ in range(2))
    other = build_head(10, ModelConfig(hidden=(8,)), 4, seed=2).state_dict()
    assert all(torch.equal(first[key], again[key]) and not torch.equal(first[key], other[key]) for key in first)
    assert first["0.weight"].abs().max() <= 10**-0.5
    weights = initial_circuit_weights(paper_circuit(num_layers=40), seed=1)
    assert weights.min() < -3
    assert weights.max() > 3
    assert weights.abs().max() <= torch.pi
    assert torch.equal(before, torch.get_rng_state())


def test_dropout_keeps_the_mean_and_draws_from_its_own_generator():
    dropout = SeededDropout(0.3)
    dropout.generator = torch_generator(1)
    out = dropout(torch.ones(20_000))
    assert float((out == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.02)
    dropout.generator = torch_generator(1)
    assert torch.equal(dropout(torch.ones(20_000)), out)
    assert torch.equal(dropout.eval()(torch.ones(3)), torch.ones(3))
    with pytest.raises(RuntimeError, match="generator"):
        SeededDropout(0.5)(torch.ones(3))


@pytest.mark.parametrize(
    "spec",
    [
        paper_circuit(),
        paper_circuit(5, 3),
        paper_circuit(3, 2, num_outputs=3),
        *(build(4) for build in (reuploading_circuit, qcnn_circuit, tree_circuit)),
        *(build(8) for build in (paper_circuit, qcnn_circuit, tree_circuit)),  # 48 and 28 leave 8 weights of 10
    ],
)
def test_classical_control_has_as_many_parameters(spec):
    layer = MatchedClassicalLayer(spec, torch_generator(0))
    assert sum(p.numel() for p in layer.parameters()) == spec.num_weights
    out = layer(torch.randn(7, spec.num_inputs) * 10)
    assert out.shape == (7, spec.num_outputs)
    assert out.abs().max() <= 1
    out.sum().backward()
    assert all(p.grad.any() for p in layer.parameters() if p.numel())


def test_classical_control_that_cannot_match_is_refused():
    with pytest.raises(ConfigurationError, match="cannot match 12 weights"):
        MatchedClassicalLayer(paper_circuit(4, 1, num_outputs=4), torch_generator(0))


def test_logits_are_the_expectations_of_scaled_features():
    net = model().eval()
    x = torch.randn(3, 5)
    torch.testing.assert_close(net(x), net.quantum(net.head((x - 1) / 2)))
    assert net(100 * x).abs().max() <= 1
    best = nn.functional.cross_entropy(torch.tensor([[1.0, -1.0]]), torch.tensor([0]))
    assert float(best) == pytest.approx(np.log(1 + np.exp(-2)))


def test_what_travels_is_what_is_trained():
    trained = model()
    assert set(trained.trainable_state()) == {
        "head.0.weight",
        "head.0.bias",
        "head.3.weight",
        "head.3.bias",
        "quantum.weight",
    }
    trained.quantum.requires_grad_(False)
    assert "quantum.weight" not in trained.trainable_state()
    assert {"scaling.mean", "scaling.deviation", "quantum.weight"} <= set(trained.state_dict())
    assert sum("quantum" in key for key in trained.state_dict()) == 1
    assert {key for key in model(quantum="classical").trainable_state() if "quantum" in key} == {
        "quantum.first",
        "quantum.bias",
        "quantum.second",
    }


def test_another_backends_layer_takes_over_the_weights():
    net = model()
    other = quantum_layer(SPEC, AerBackend("other"), initial_weights=np.zeros(24))
    before = net.quantum.weight.detach().clone()
    net.use_quantum_layer(other)
    assert net.quantum is other
    assert torch.equal(other.weight.detach(), before)


def test_each_class_needs_a_qubit():
    with pytest.raises(ConfigurationError, match="5 classes, but `model.circuit.num_qubits` is 4"):
        circuit_for(ModelConfig(), 5)
    assert circuit_for(ModelConfig(), 3).num_outputs == 3


@pytest.mark.parametrize(
    ("section", "spec"),
    [
        ({}, paper_circuit()),
        ({"num_layers": 3, "entanglement": "linear"}, paper_circuit(4, 3, "linear")),
        ({"ansatz": "reuploading", "num_qubits": 3, "entanglement": "linear"}, reuploading_circuit(3, 2, "linear")),
        ({"ansatz": "qcnn", "num_qubits": 8}, qcnn_circuit(8)),
        ({"ansatz": "tree"}, tree_circuit()),
    ],
)
def test_the_section_says_which_circuit(section, spec):
    made = circuit_for(ModelConfig.model_validate({"circuit": section}), 2)
    assert str(made.circuit.draw("text", fold=-1)) == str(spec.circuit.draw("text", fold=-1))
    assert made.observables == spec.observables


def test_qubits_that_cannot_be_halved_are_refused():
    config = ModelConfig.model_validate({"circuit": {"ansatz": "qcnn"}})
    with pytest.raises(ConfigurationError, match=r"data's 3 classes.*at least twice the number of outputs \(3\)"):
        circuit_for(config, 3)


def test_seeds_differ_by_every_argument():
    seeds = [
        derive_seed(0, "a"),
        derive_seed(1, "a"),
        derive_seed(0, "b"),
        derive_seed(0, "a", 1),
        derive_seed(0, "a", 0, 1),
        derive_seed(0, "a", 0, 0, 1),
        derive_seed(-1, "a"),
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(0, "a") == seeds[0]
