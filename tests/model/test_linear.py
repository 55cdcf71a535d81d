import pytest
import torch
from torch import nn

from qiskit_fedqml.model import linear
from qiskit_fedqml.model.linear import OneDnnLinear

needs_onednn = pytest.mark.skipif(linear._ONEDNN_LINEAR is None, reason="this torch has no oneDNN")


@pytest.fixture
def onednn_for_all(monkeypatch):
    monkeypatch.setattr(linear, "_LARGE", 1)


def _layers(num_inputs, num_outputs, *, bias=True):
    """Return torch's layer and ours with the same weights."""
    own = OneDnnLinear(num_inputs, num_outputs, bias=bias)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.normal_(generator=generator)
    of_torch = nn.Linear(num_inputs, num_outputs, bias=bias)
    of_torch.load_state_dict(own.state_dict())
    return of_torch, own


def _inputs(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def _by_onednn(layer, inputs):
    return "_OneDnnProduct" in type(layer(inputs).grad_fn).__name__


def _answers(layer, inputs):
    """Return outputs and all gradients of a loss that weighs each output differently."""
    leaf = inputs.detach().clone().requires_grad_()
    outputs = layer(leaf.expand(inputs.shape))
    (outputs * torch.linspace(-1, 2, outputs.numel()).reshape(outputs.shape)).sum().backward()
    return [outputs.detach(), leaf.grad, *(p.grad for p in layer.parameters())]


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [1, 4, 32])
def test_numbers_and_gradients_are_torchs(onednn_for_all, batch, bias):
    of_torch, own = _layers(96, 40, bias=bias)
    inputs = _inputs(batch, 96)
    assert _by_onednn(own, inputs)
    for expected, found in zip(_answers(of_torch, inputs), _answers(own, inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@needs_onednn
@pytest.mark.parametrize(
    "inputs",
    [_inputs(1, 96).expand(5, 96), _inputs(96, 5).t(), _inputs(5, 192)[:, ::2]],
    ids=["expanded", "transposed", "strided"],
)
def test_inputs_may_lie_in_memory_as_they_like(onednn_for_all, inputs):
    of_torch, own = _layers(96, 40)
    assert _by_onednn(own, inputs)
    of_torch(inputs).square().sum().backward()
    own(inputs).square().sum().backward()
    torch.testing.assert_close(own(inputs), of_torch(inputs), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(own.weight.grad, of_torch.weight.grad, rtol=1e-4, atol=1e-2)


@needs_onednn
def test_only_wanted_gradients_are_computed(onednn_for_all, monkeypatch):
    products = []
    by_onednn = linear._times_transposed
    monkeypatch.setattr(linear, "_times_transposed", lambda *a: products.append(a) or by_onednn(*a))
    _, own = _layers(96, 40)
    own(_inputs(4, 96)).sum().backward()
    assert len(products) == 2  # the outputs, and the weights' gradient
    own.requires_grad_(False)
    own(_inputs(4, 96).requires_grad_()).sum().backward()
    assert len(products) == 4  # the outputs, and the inputs' gradient


@needs_onednn
def test_second_derivatives_are_torchs(onednn_for_all):
    penalties = []
    for layer in _layers(96, 40):
        inputs = _inputs(4, 96).requires_grad_()
        (gradient,) = torch.autograd.grad(layer(inputs).pow(3).sum(), inputs, create_graph=True)
        gradient.pow(2).sum().backward()
        penalties.append([inputs.grad, *(p.grad for p in layer.parameters())])
    for expected, found in zip(*penalties, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@needs_onednn
def test_large_layers_and_no_others_are_by_onednn():
    assert _by_onednn(OneDnnLinear(4096, 1024), _inputs(2, 4096))
    assert not _by_onednn(OneDnnLinear(4096, 1023), _inputs(2, 4096))


@pytest.mark.parametrize("shape", [(96,), (2, 3, 96), (0, 96)])
def test_other_shapes_take_torchs_own_way(onednn_for_all, shape):
    of_torch, own = _layers(96, 40)
    assert not _by_onednn(own, _inputs(*shape))
    for expected, found in zip(_answers(of_torch, _inputs(*shape)), _answers(own, _inputs(*shape)), strict=True):
        assert torch.equal(expected, found)


def test_other_types_take_torchs_own_way(onednn_for_all):
    _, own = _layers(96, 40)
    assert not _by_onednn(own.double(), _inputs(2, 96).double())


def test_a_torch_without_onednn_or_with_autocast_takes_torchs_own_way(onednn_for_all, monkeypatch):
    _, own = _layers(96, 40)
    with torch.autocast("cpu", torch.bfloat16):
        assert own(_inputs(2, 96)).dtype == torch.bfloat16
    monkeypatch.setattr(linear, "_ONEDNN_LINEAR", None)
    assert not _by_onednn(own, _inputs(2, 96))


def test_a_wrong_number_of_features_is_torchs_error(onednn_for_all):
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        OneDnnLinear(96, 40)(_inputs(2, 95))
