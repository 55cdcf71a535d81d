"""The gradient of each single example of a batch, by Opacus' samplers, from one forward and one backward pass.

Opacus' own hooks (``GradSampleModule``) take a third of the digits model's step by themselves, because full backward
hooks wrap the inputs and outputs of each layer, and the gradients of whole batches are computed next to those of single
examples. Here one call of ``torch.autograd.grad`` gives the derivatives by all layers' outputs, and nothing else.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from qiskit_fedqml.model.linear import OneDnnLinear
from qiskit_fedqml.privacy.packages import import_package

Sampler = Callable[[Any, list[torch.Tensor], torch.Tensor], dict[nn.Parameter, torch.Tensor]]
"""Makes the gradients of a layer's parameters, of the layer, its inputs, and the derivatives by its outputs."""

_LINEAR = (nn.Linear, OneDnnLinear)
"""Their weights' gradients are outer products, of which the factors are kept: the products would take as much memory as
the layer for each example, 820 MB for 25088×256 and 32. Norms and sums need the factors alone (Bu et al., 2022,
arXiv:2210.00038, Eq. 3 and Algorithm 1)."""


@dataclass(frozen=True)
class Sample:
    """The gradients of one parameter, one for each example.

    Args:
        factors: The gradients themselves, shape (batch, …); or, of a linear layer's weights, two matrices of the shapes
            (batch, outputs) and (batch, inputs), whose rows' outer products they are.
    """

    factors: tuple[torch.Tensor, ...]

    def norms(self) -> torch.Tensor:
        """Return the Euclidean norms, float64 of shape (batch,)."""
        first, *second = (
            torch.linalg.vector_norm(factor.reshape(len(factor), -1), dim=1, dtype=torch.float64)
            for factor in self.factors
        )
        return first * second[0] if second else first

    def without(self, rows: torch.Tensor) -> "Sample":
        """Return the gradients with zeros for some examples, where a weight of zero would leave NaN.

        Args:
            rows: Which, bool of shape (batch,).
        """
        return Sample(tuple(f.masked_fill(rows.view(-1, *[1] * (f.dim() - 1)), 0.0) for f in self.factors))

    def product(self) -> torch.Tensor:
        """Return the gradients themselves, shape (batch, …)."""
        return self.factors[0] if len(self.factors) == 1 else torch.einsum("no,ni->noi", *self.factors)

    def add_up(self, weights: torch.Tensor, out: torch.Tensor) -> None:
        """Write the sum over the examples, each with a weight.

        Args:
            weights: float64 of shape (batch,).
            out: float64 of the parameter's shape.
        """
        first, *second = (factor.double() for factor in self.factors)
        if second:
            torch.mm((weights[:, None] * first).t(), second[0], out=out)
        else:
            torch.mv(first.reshape(len(first), -1).t(), weights, out=out.view(-1))


@dataclass(frozen=True)
class _Use:
    """One use of a layer in a forward pass."""

    layer: Any
    sampler: Sampler
    inputs: list[torch.Tensor]
    output: GradientEdge


@dataclass(frozen=True)
class Watched:
    """A model whose layers are watched while it trains.

    Args:
        model: The model.
        parts: Its modules of the first level, one of which changes where a client has another machine.
        trained: Its trained parameters.
        sizes: How many numbers each has.
    """

    model: nn.Module
    parts: tuple[nn.Module, ...]
    trained: list[nn.Parameter]
    sizes: list[int]
    _uses: list[_Use] = field(default_factory=list, repr=False)
    _hooks: list[Any] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, model: nn.Module) -> "Watched":
        """Watch a model.

        Raises:
            ConfigurationError: The extra `privacy` is not installed.
        """
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        watched = cls(model, tuple(model.children()), trained, [parameter.numel() for parameter in trained])
        for layer, sampler in _layers_of(model):
            watched._hooks.append(layer.register_forward_hook(partial(watched._see, sampler)))
        return watched

    def _see(self, sampler: Sampler, layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if layer.training and output.requires_grad:
            # Not the tensor itself, which what follows may change in place.
            self._uses.append(_Use(layer, sampler, [tensor.detach() for tensor in inputs], get_gradient_edge(output)))

    def samples(self, loss: torch.Tensor) -> list[Sample]:
        """Return the gradients of single examples, in the order of the trained parameters.

        Args:
            loss: The sum of the examples' losses, of the one forward pass since the last call.

        Raises:
            RuntimeError: A parameter was not used, or outside its own layer.
        """
        uses = self._uses.copy()
        self._uses.clear()
        upstream = torch.autograd.grad(loss, [use.output for use in uses], allow_unused=True)
        found: dict[nn.Parameter, list[Sample]] = {}
        for use, of_output in zip(uses, upstream, strict=True):
            if of_output is not None:
                for parameter, sample in _samples_of(use, of_output):
                    found.setdefault(parameter, []).append(sample)
        if len(found) < len(self.trained):
            raise RuntimeError("a parameter is not used, or outside the layer that it belongs to")
        return [_together(found[parameter]) for parameter in self.trained]

    def zeros(self) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return a vector of zeros, float64, for all trained numbers, and its parts in the shapes of the parameters."""
        flat = torch.zeros(sum(self.sizes), dtype=torch.float64, device=self.trained[0].device)
        parts = [part.view(of.shape) for part, of in zip(flat.split(self.sizes), self.trained, strict=True)]
        return flat, parts

    def reset(self) -> None:
        """Forget a forward pass that has no backward pass."""
        self._uses.clear()

    def undo(self) -> None:
        """Watch no longer."""
        self.reset()
        for hook in self._hooks:
            hook.remove()
        for layer in self.model.modules():
            if hasattr(layer, "ft_compute_sample_grad"):  # Opacus' preparation
                del layer.ft_compute_sample_grad


@dataclass
class ExampleGradients:
    """Watches a worker's model from step to step; one model at a time."""

    _watched: Watched | None = field(default=None, init=False, repr=False)

    @contextmanager
    def of(self, model: nn.Module) -> Iterator[Watched]:
        """Give the model, watched; after an error it is left as it was.

        Raises:
            ConfigurationError: As :meth:`Watched.of`.
        """
        watched = self._watched
        if watched is None or watched.model is not model or watched.parts != tuple(model.children()):
            self.close()
            self._watched = watched = Watched.of(model)
        try:
            yield watched
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the model, as it was."""
        if self._watched is not None:
            self._watched.undo()
        self._watched = None


def _layers_of(module: nn.Module) -> Iterator[tuple[nn.Module, Sampler]]:
    """Give the layers that have trained parameters of their own, each with what makes its gradients.

    Layers of this package say it themselves; Opacus knows torch's, and takes any other one as a whole by functorch.
    """
    is_trained = any(parameter.requires_grad for parameter in module.parameters(recurse=False))
    own = getattr(module, "example_gradients", None)
    known: dict[type, Sampler] = import_package("opacus.grad_sample").GradSampleModule.GRAD_SAMPLERS
    if is_trained and own is not None:
        yield module, lambda _, inputs, upstream: own(inputs[0], upstream)
    elif is_trained and (isinstance(module, OneDnnLinear) or type(module) in known):
        yield module, known[nn.Linear if isinstance(module, OneDnnLinear) else type(module)]
    elif is_trained:
        functorch = import_package("opacus.grad_sample.functorch")
        functorch.prepare_layer(module)
        yield module, functorch.ft_compute_per_sample_gradient
        return
    for child in module.children():
        yield from _layers_of(child)


def _samples_of(use: _Use, upstream: torch.Tensor) -> Iterable[tuple[nn.Parameter, Sample]]:
    layer, inputs = use.layer, use.inputs[0]
    if type(layer) in _LINEAR and inputs.dim() == 2:
        found = [(layer.weight, Sample((upstream, inputs)))]
        if layer.bias is not None:
            found.append((layer.bias, Sample((upstream,))))
    else:
        sampled = use.sampler(layer, use.inputs, upstream)
        found = [(parameter, Sample((of.detach(),))) for parameter, of in sampled.items()]
    return [(parameter, sample) for parameter, sample in found if parameter.requires_grad]


def _together(samples: list[Sample]) -> Sample:
    """Return one sample of a parameter, which may have been used several times."""
    if len(samples) == 1:
        return samples[0]
    return Sample((torch.stack([sample.product() for sample in samples]).sum(dim=0),))
