"""The gradient of each single example of a batch, by Opacus, from one forward and one backward pass."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from qiskit_fedqml.model.linear import OneDnnLinear
from qiskit_fedqml.privacy.packages import import_package

_KNOWN_WARNING = "Full backward hook is firing when gradients are computed with respect to module outputs"
"""Of torch, wherever the first layer's inputs are data."""

Samples = dict[nn.Parameter, torch.Tensor]
Sampler = Callable[[Any, Sequence[torch.Tensor], torch.Tensor], Samples]
"""Makes the gradients of a layer's parameters, of a layer, its inputs, and the derivatives by its outputs."""


@dataclass(frozen=True)
class Sample:
    """The gradients of one parameter, one for each example.

    Args:
        factors: The gradients themselves, shape (batch, …); or, of a linear layer's weights, two matrices of the shapes
            (batch, outputs) and (batch, inputs), whose rows' outer products they are.
    """

    factors: tuple[torch.Tensor, ...]

    def squared_norms(self) -> torch.Tensor:
        """Return the squared Euclidean norms, float64 of shape (batch,)."""
        squares = [factor.flatten(1).double().square().sum(dim=1) for factor in self.factors]
        return squares[0] if len(squares) == 1 else squares[0] * squares[1]

    def forget(self, rows: torch.Tensor) -> None:
        """Make the gradients of some examples zero, where a weight of zero would leave NaN.

        Args:
            rows: Which, bool of shape (batch,).
        """
        for factor in self.factors:
            factor[rows] = 0.0

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the sum over the examples, each with a weight, in float64.

        Args:
            weights: float64 of shape (batch,).
        """
        first, *second = (factor.double() for factor in self.factors)
        if not second:
            return torch.tensordot(weights, first, dims=1)
        return (weights[:, None] * first).t() @ second[0]


@dataclass
class _Wrapped:
    """A model whose backward pass leaves the gradients of single examples.

    Args:
        module: Opacus' wrapper of the model.
        parts: The model's modules, which change where a client has another machine.
    """

    module: Any
    parts: tuple[nn.Module, ...]

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.module(features)
        return logits

    def samples(self) -> list[Sample]:
        """Take what the backward pass has left, in the order of the trained parameters."""
        found = []
        for parameter in self.module._module.parameters():
            if parameter.requires_grad:
                found.append(_sample_of(parameter))
                parameter.grad_sample = None
        return found

    def undo(self) -> None:
        """Take away all that was put into the model, and what a pass that has failed left there."""
        self.module.cleanup()
        for part in self.parts:
            for name in ("activations", "max_batch_len"):
                if hasattr(part, name):
                    delattr(part, name)


@dataclass
class ExampleGradients:
    """Keeps a worker's model wrapped from step to step; of one model at a time."""

    _wrapped: _Wrapped | None = field(default=None, init=False, repr=False)

    @contextmanager
    def of(self, model: nn.Module) -> Iterator[_Wrapped]:
        """Give the model, wrapped; after an error it is wrapped anew.

        Raises:
            ConfigurationError: The extra `privacy` is not installed.
            NotImplementedError: The model has a layer of which Opacus cannot tell single examples apart.
        """
        parts = tuple(model.modules())
        if self._wrapped is None or self._wrapped.parts != parts:
            self.close()
            self._wrapped = _Wrapped(_wrapper_for(parts)(model, loss_reduction="sum"), parts)
        try:
            yield self._wrapped
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the model, as it was."""
        if self._wrapped is not None:
            self._wrapped.undo()
        self._wrapped = None


def _wrapper_for(parts: Sequence[nn.Module]) -> Any:
    """Return Opacus' module of gradient samples with this package's layers; Opacus' own registry stays as it is."""
    warnings.filterwarnings("ignore", message=_KNOWN_WARNING)
    opacus = import_package("opacus.grad_sample")
    known = opacus.GradSampleModule.GRAD_SAMPLERS
    linear = _linear_sampler(known[nn.Linear])
    own = {type(part): _own_sampler for part in parts if hasattr(part, "example_gradients")}
    samplers = {**known, nn.Linear: linear, OneDnnLinear: linear, **own}
    return type("GradSampleModule", (opacus.GradSampleModule,), {"GRAD_SAMPLERS": samplers})


def _own_sampler(layer: Any, activations: Sequence[torch.Tensor], backprops: torch.Tensor) -> Samples:
    found: Samples = layer.example_gradients(activations[0], backprops)
    return found


def _linear_sampler(usual: Sampler) -> Sampler:
    """Return a sampler of linear layers that keeps the two factors of each outer product, joined.

    The products themselves would take as much memory as the layer for each example: 820 MB for 25088×256 and 32.
    Norms and weighted sums need the factors alone (Bu et al., 2022, arXiv:2210.00038, Eq. 3 and Algorithm 1).

    Args:
        usual: Opacus' own, for a layer that is used twice, and for inputs that are no matrix.
    """

    def sampler(layer: Any, activations: Sequence[torch.Tensor], backprops: torch.Tensor) -> Samples:
        weight, inputs = layer.weight, activations[0]
        is_used_once = weight.requires_grad and weight._forward_counter == 1
        if not is_used_once or hasattr(weight, "_current_grad_sample") or inputs.dim() != 2:
            return usual(layer, activations, backprops)
        found = {weight: torch.cat([backprops, inputs.to(backprops.dtype)], dim=1)}
        if layer.bias is not None and layer.bias.requires_grad:
            found[layer.bias] = backprops
        return found

    return sampler


def _sample_of(parameter: Any) -> Sample:
    gradients = parameter.grad_sample
    if gradients is None:
        raise RuntimeError("A parameter was used outside its own layer, so that it has no gradient of single examples.")
    is_product = gradients.dim() == parameter.dim() == 2
    return Sample(tuple(gradients.split(list(parameter.shape), dim=1)) if is_product else (gradients,))
