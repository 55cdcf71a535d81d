import pytest
import torch
from torch import nn

from qiskit_fedqml import linear
from qiskit_fedqml.linear import Linear


def _pair(num_inputs: int, num_outputs: int) -> tuple[nn.Linear, Linear]:
    torch_own, own = nn.Linear(num_inputs, num_outputs), Linear(num_inputs, num_outputs)
    own.load_state_dict(torch_own.state_dict())
    return torch_own, own


def _answers(layer: nn.Linear, inputs: torch.Tensor, weights_of_loss: torch.Tensor) -> list[torch.Tensor]:
    inputs = inputs.clone().requires_grad_()
    outputs = layer(inputs)
    layer.zero_grad()
    (outputs * weights_of_loss).sum().backward()
    assert inputs.grad is not None
    return [outputs.detach(), inputs.grad, *(p.grad for p in layer.parameters() if p.grad is not None)]


@pytest.mark.skipif(linear._ONEDNN_LINEAR is None, reason="this torch has no oneDNN")
@pytest.mark.parametrize("batch", [1, 4, 32])
def test_large_layers_give_torchs_numbers_by_onednn(batch: int) -> None:
    generator = torch.Generator().manual_seed(batch)
    torch_own, own = _pair(2048, 2048)
    inputs = torch.randn(batch, 2048, generator=generator)
    weights = torch.randn(batch, 2048, generator=generator)
    assert "_OneDnnLinear" in type(own(inputs).grad_fn).__name__
    expected, found = _answers(torch_own, inputs, weights), _answers(own, inputs, weights)
    assert len(expected) == len(found) == 4
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(linear._ONEDNN_LINEAR is None, reason="this torch has no oneDNN")
def test_only_wanted_gradients_are_made() -> None:
    own = Linear(2048, 2048).requires_grad_(False)
    inputs = torch.ones(2, 2048, requires_grad=True)
    own(inputs).sum().backward()
    assert own.weight.grad is None
    assert own.bias.grad is None
    torch.testing.assert_close(inputs.grad, own.weight.sum(0).expand(2, -1), rtol=1e-4, atol=1e-4)


def test_small_layers_and_other_types_take_torchs_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_own, own = _pair(8, 4)
    inputs = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch_own(inputs), own(inputs))
    monkeypatch.setattr(linear, "_LARGE", 1)
    torch_own, own = torch_own.double(), own.double()
    assert torch.equal(torch_own(inputs.double()), own(inputs.double()))


def test_a_torch_without_onednn_takes_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_LARGE", 1)
    monkeypatch.setattr(linear, "_ONEDNN_LINEAR", None)
    torch_own, own = _pair(8, 4)
    inputs = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch_own(inputs), own(inputs))
