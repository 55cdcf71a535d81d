"""DP-SGD's step: each example's gradient, its norm, the noise, and what no batch may break."""

import numpy as np
import pytest
import torch
from opacus import GradSampleModule
from opacus.grad_sample.linear import compute_linear_grad_sample
from opacus.grad_sample.utils import register_grad_sampler
from scipy.stats import chi2
from torch.nn.functional import cross_entropy

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.federation.steps.dp_sgd import DpSgd
from qiskit_fedqml.federation.steps.example_gradients import ExampleGradients
from qiskit_fedqml.federation.steps.fedprox import FedProx
from qiskit_fedqml.federation.steps.opening import open_step
from qiskit_fedqml.federation.steps.step import DrawingStep
from qiskit_fedqml.model.building import Blueprint
from qiskit_fedqml.model.layer import QuantumLayer
from qiskit_fedqml.model.linear import OneDnnLinear

FEATURES, CLASSES, BATCH = 5, 2, 6
NOISY = {"type": "aer", "noise": "FakeManilaV2", "shots": 64}
SMALL = {"hidden": [4], "dropout": 0.0, "circuit": {"num_qubits": 2, "num_layers": 1}}
GRADIENTS = ExampleGradients()  # one for all, as a worker has one: each wraps a model for as long as it is used
PURE = SMALL | {"head": "none", "hidden": None, "dropout": None}


def make_model(changes=None, entry=None, num_features=FEATURES):
    values = {key: value for key, value in (SMALL | (changes or {})).items() if value is not None}
    entries = {"backends": {"here": entry or {"type": "aer"}}, "assignment": {"server": "here", "default": "here"}}
    registry = BackendRegistry.from_mapping(entries)
    config = ModelConfig.model_validate(values)
    blueprint = Blueprint.of(3, config, num_features, CLASSES, (np.zeros(num_features), np.ones(num_features)))
    layer = blueprint.layer_on(registry["here"]) if blueprint.has_circuit else None
    model = blueprint.build(layer, initial_head=True).train()
    model.use_dropout_generator(torch.Generator().manual_seed(1))
    return model


def batch(size=BATCH, seed=2, num_features=FEATURES):
    rng = np.random.default_rng(seed)
    features = torch.from_numpy(rng.normal(size=(size, num_features)).astype(np.float32))
    return features, torch.from_numpy(rng.integers(CLASSES, size=size))


def make_step(noise=1.0, max_norm=0.5, rate=0.5, size=4, randomness="simulated", step=1):
    options = {"noise_multiplier": noise, "max_norm": max_norm, "sampling_rate": rate}
    config = PrivacyConfig.model_validate({"delta": 1e-5, "randomness": randomness, "examples": options})
    return DpSgd(config, size, gradients=GRADIENTS).for_task(7, step, 3)


def trained(model):
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def one_by_one(model, features, labels):
    """Return each example's gradients, from a batch that holds it alone."""
    found = []
    for row in range(len(labels)):
        loss = cross_entropy(model(features[row : row + 1]), labels[row : row + 1])
        found.append([gradient.double() for gradient in torch.autograd.grad(loss, trained(model))])
    return found


def gradient_of(sample, row, like):
    found = torch.zeros_like(like, dtype=torch.float64)
    sample.add_up(torch.eye(BATCH, dtype=torch.float64)[row], found)
    return found


def norm_of(gradients):
    return float(torch.cat([gradient.flatten() for gradient in gradients]).double().norm())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"quantum": "frozen"},
        {"quantum": "classical", "circuit": {"num_qubits": 2, "num_layers": 2}},
        {"quantum": "none", "circuit": None},
        {"hidden": [4, 3]},
    ],
)
def test_gradients_are_those_of_single_examples(changes):
    model, (features, labels) = make_model(changes), batch()
    wanted = one_by_one(model, features, labels)
    with GRADIENTS.of(model) as watched:
        samples = watched.samples(cross_entropy(model(features), labels, reduction="sum"))
    for row in range(BATCH):
        for sample, expected in zip(samples, wanted[row], strict=True):
            torch.testing.assert_close(gradient_of(sample, row, expected), expected, atol=1e-6, rtol=1e-5)
            assert float(sample.norms()[row]) == pytest.approx(float(expected.norm()), abs=1e-6)


def test_a_circuit_without_a_head_has_them_too():
    model = make_model(PURE, num_features=2)
    features, labels = batch(num_features=2)
    wanted = one_by_one(model, features, labels)
    sums = make_step(max_norm=1e6).shortened_sum(model, features, labels)
    torch.testing.assert_close(sums[0], sum(gradients[0] for gradients in wanted), atol=1e-5, rtol=1e-5)


def test_on_a_noisy_machine_values_and_gradients_are_of_the_same_shots(monkeypatch):
    model, (features, labels) = make_model(entry=NOISY), batch()
    asked = []
    ask = QuantumLayer._ask

    def counted(layer, *args, **options):
        asked.append(ask(layer, *args, **options))
        return asked[-1]

    monkeypatch.setattr(QuantumLayer, "_ask", counted)
    model.network.reseed(5)
    with GRADIENTS.of(model) as watched:
        logits = model(features)
        samples = watched.samples(cross_entropy(logits, labels, reduction="sum"))
    (answer,) = asked
    upstream = torch.softmax(logits.detach(), dim=1) - torch.nn.functional.one_hot(labels, CLASSES)
    jacobian = torch.from_numpy(answer.jacobian[:, :, 2:]).float()
    for row in range(BATCH):
        of_weights = gradient_of(samples[-1], row, model.quantum.weight)
        torch.testing.assert_close(of_weights.float(), upstream[row] @ jacobian[row], atol=1e-6, rtol=1e-5)


def test_the_shortened_sum_is_that_of_opacus():
    register_grad_sampler(OneDnnLinear)(compute_linear_grad_sample)  # Opacus' own registry, as its users fill it
    register_grad_sampler(QuantumLayer)(lambda layer, inputs, of: layer.example_gradients(inputs[0], of))
    model, reference, (features, labels) = make_model(), make_model(), batch()
    step = make_step(max_norm=0.3)
    sums = step.shortened_sum(model, features, labels)
    wrapped = GradSampleModule(reference, loss_reduction="sum")
    cross_entropy(wrapped(features), labels, reduction="sum").backward()
    norms = torch.stack([p.grad_sample.flatten(1).norm(dim=1) for p in trained(reference)]).norm(dim=0)
    assert float(norms.max()) > 0.3
    for parameter, summed in zip(trained(reference), sums, strict=True):
        weighted = torch.einsum("n,n...->...", (0.3 / norms).clamp(max=1.0), parameter.grad_sample)
        torch.testing.assert_close(summed.float(), weighted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, 1e18])
def test_no_example_adds_more_than_the_norm(scale):
    model, step = make_model(), make_step(max_norm=0.01)
    features, labels = batch(40)
    features[::2] *= scale
    for row in range(40):
        sums = step.shortened_sum(model, features[row : row + 1], labels[row : row + 1])
        assert norm_of(sums) <= 0.01
    sums = step.shortened_sum(model, features, labels)
    assert 0 < norm_of(sums) <= 0.4


@pytest.mark.parametrize("seed", range(5))
def test_one_example_more_changes_the_sum_by_no_more_than_the_norm(seed):
    model, step = make_model(), make_step(max_norm=0.02)
    features, labels = batch(9, seed)
    without = step.shortened_sum(model, features[:-1], labels[:-1])
    with_it = step.shortened_sum(model, features, labels)
    change = norm_of([a - b for a, b in zip(with_it, without, strict=True)])
    # The layer's own numbers are float32, whose last bits follow the size of the batch.
    assert change == pytest.approx(0.02, rel=1e-4)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_an_example_whose_gradient_is_not_finite_adds_nothing(value):
    model, step = make_model(), make_step()
    features, labels = batch()
    expected = step.shortened_sum(model, features[1:], labels[1:])
    features[0] = value
    sums = step.shortened_sum(model, features, labels)
    for found, of_others in zip(sums, expected, strict=True):
        torch.testing.assert_close(found, of_others, atol=1e-6, rtol=1e-5)


def test_a_head_alone_survives_what_is_not_finite():
    model, step = make_model({"quantum": "none", "circuit": None}), make_step()
    features, labels = batch()
    expected = step.shortened_sum(model, features[1:], labels[1:])
    features[0] = float("inf")
    sums = step.shortened_sum(model, features, labels)
    for found, of_others in zip(sums, expected, strict=True):
        torch.testing.assert_close(found, of_others, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("randomness", ["system", "simulated"])
def test_the_noise_has_its_deviation(randomness):
    model = make_model({"hidden": [400]})
    step = make_step(noise=2.0, max_norm=0.5, size=4, randomness=randomness)
    features, labels = batch(0)
    step.add_gradients(model, {}, features, labels)
    noise = torch.cat([parameter.grad.flatten() for parameter in trained(model)]).double() * 4 / (2.0 * 0.5)
    low, high = chi2.ppf([1e-7, 1 - 1e-7], len(noise))
    assert len(noise) > 3000
    assert low < float(noise.square().sum()) < high


def test_gradients_are_the_noisy_sum_by_the_batch_size():
    model, (features, labels) = make_model(), batch()
    sums = make_step(noise=0.7, max_norm=0.3, size=16).shortened_sum(model, features, labels)
    step = make_step(noise=0.7, max_norm=0.3, size=16)
    noise = [step.randomness.normal(parameter.numel()) for parameter in trained(model)]
    again = make_step(noise=0.7, max_norm=0.3, size=16)
    again.add_gradients(model, {}, features, labels)
    for parameter, summed, drawn in zip(trained(model), sums, noise, strict=True):
        expected = (summed + 0.7 * 0.3 * torch.from_numpy(drawn).reshape(summed.shape)) / 16
        torch.testing.assert_close(parameter.grad, expected.float(), atol=0, rtol=1e-6)


def test_batches_take_each_example_with_the_rate():
    step = make_step(rate=0.2)
    batches = list(step.batches(1000, 8, np.random.default_rng(0)))
    assert len(batches) == 5
    assert sum(map(len, batches)) == pytest.approx(1000, abs=6 * 1000**0.5)
    assert len({len(positions) for positions in batches}) > 1
    assert all(len(positions) == 0 for positions in step.batches(0, 8, np.random.default_rng(0)))
    again = list(make_step(rate=0.2).batches(1000, 8, np.random.default_rng(1)))
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    other = next(make_step(rate=0.2, step=2).batches(1000, 8, np.random.default_rng(0)))
    assert not np.array_equal(batches[0], other)


def test_a_rate_of_one_takes_all():
    (positions,) = make_step(rate=1.0).batches(7, 8, np.random.default_rng(0))
    assert list(positions) == list(range(7))


def test_dropout_differs_from_example_to_example():
    model = make_model({"dropout": 0.5, "hidden": [64]})
    features, labels = batch(1)
    features, labels = features.repeat(2, 1), labels.repeat(2)
    with GRADIENTS.of(model) as watched:
        samples = watched.samples(cross_entropy(model(features), labels, reduction="sum"))
    outputs, _ = samples[0].factors
    assert not torch.equal(outputs[0] != 0, outputs[1] != 0)


def test_fedprox_comes_after_the_noise():
    model, (features, labels) = make_model(), batch()
    start = {name: tensor - 1.0 for name, tensor in model.trainable_state().items()}
    make_step().add_gradients(model, start, features, labels)
    plain = [parameter.grad.clone() for parameter in trained(model)]
    around = FedProx(DpSgd(make_step().config, 4, gradients=GRADIENTS), 0.25)
    assert isinstance(around, DrawingStep)
    around.for_task(7, 1, 3).add_gradients(model, start, features, labels)
    for parameter, before in zip(trained(model), plain, strict=True):
        torch.testing.assert_close(parameter.grad, before + 0.25, atol=1e-6, rtol=0)


def test_another_machine_and_a_failed_pass_leave_no_trace():
    model, (features, labels) = make_model(), batch()
    step = make_step()
    expected = step.shortened_sum(model, features, labels)
    with pytest.raises(IndexError):  # between the two passes: a label that is none
        step.shortened_sum(model, features, labels + CLASSES)
    model.use_quantum_layer(make_model().quantum)
    found = step.shortened_sum(model, features, labels)
    for before, after in zip(expected, found, strict=True):
        torch.testing.assert_close(after, before, atol=1e-9, rtol=0)
    step.gradients.close()
    assert not any(module._forward_hooks for module in model.modules())


def test_without_the_extra_there_is_one_error(monkeypatch):
    from qiskit_fedqml.errors import ConfigurationError
    from qiskit_fedqml.privacy import packages

    def missing(name):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(packages, "import_module", missing)
    with pytest.raises(ConfigurationError, match=r"pip install 'qiskit-fedqml\[privacy\]' .No module named 'opacus"):
        open_step(FederationConfig(clients=2, clients_per_round=1, rounds=1), make_step().config)
