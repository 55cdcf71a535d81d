"""The models of several clients as one: each tensor has the clients on its leading axis.

The clients' batches may differ in size. In the head the smaller ones are filled up with rows of zeros, to which no loss
and no gradient belongs; the circuit is evaluated at the clients' own rows only, all of them in one call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import nn
from torch.nn.functional import cross_entropy, pad

from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.model.dropout import SeededDropout

if TYPE_CHECKING:
    from qiskit_fedqml.model.classifier import HybridClassifier

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class StackedBatch:
    """A batch of each client.

    Args:
        features: float32 of shape (clients, rows, features); rows that a client lacks are 0.
        labels: Class indices, shape (clients, rows).
        sizes: Rows that each client has; 0 of a client that no longer takes part.
    """

    features: torch.Tensor
    labels: torch.Tensor
    sizes: Sequence[int]


class EvaluateRows(Protocol):
    """Evaluates the circuit for all clients."""

    def __call__(self, inputs: Array, weights: Array, sizes: Sequence[int]) -> tuple[Array, Array]:
        """Return outputs, shape (rows, outputs), and derivatives, shape (rows, outputs, inputs + weights).

        Args:
            inputs: Of all clients' rows, one client after another, shape (rows, inputs).
            weights: Each client's, shape (clients, weights).
            sizes: Rows of each client.
        """
        ...


class StackedClassifier:
    """Several clients' weights of one classifier.

    All trained numbers of a client lie in one row, so that an optimiser has one tensor to change.

    Args:
        model: The classifier whose structure it is; its own weights do not matter, except those that are not trained.
        states: Each client's trained tensors, which are copied.

    Attributes:
        values: All clients' trained numbers, shape (clients, numbers).
        gradients: Their gradients, of the same shape.
    """

    def __init__(self, model: "HybridClassifier", states: Sequence[State]) -> None:
        self._model = model
        self._head = cast(nn.Sequential, model.head)
        self._own = model.trainable_state()
        rows = {id(state): self.row_of(state) for state in {id(s): s for s in states}.values()}
        self.values = torch.stack([rows[id(state)] for state in states])  # clients of a round start from the same state
        self.gradients = torch.zeros_like(self.values)
        self._sizes = [tensor.numel() for tensor in self._own.values()]
        self._generators: list[torch.Generator] = []
        self.take_part(len(states))

    @property
    def names(self) -> list[str]:
        """The tensors' names."""
        return list(self._own)

    @property
    def has_dropout(self) -> bool:
        """Whether dropout draws anything."""
        return any(isinstance(module, SeededDropout) and module.probability for module in self._head)

    def row_of(self, state: State) -> torch.Tensor:
        """Return one client's tensors as a row of numbers."""
        return torch.cat([state[name].reshape(-1) for name in self._own])

    def take_part(self, count: int) -> None:
        """Let only the first clients take part in what follows; the tensors of the others stay as they are."""
        self.count = count
        self._trained = self.values[:count].detach().requires_grad_()
        self._trained.grad = self.gradients[:count]

    def use_dropout_generators(self, generators: Sequence[torch.Generator]) -> None:
        """Let each client's dropout draw from a generator of its own."""
        self._generators = list(generators)

    def state_of(self, client: int, numbers: torch.Tensor | None = None) -> State:
        """Return a copy of a client's tensors; or of its row of other numbers, such as an optimiser's moments."""
        row = (self.values if numbers is None else numbers)[client : client + 1]
        return {name: tensor[0].clone() for name, tensor in self._named(row).items()}

    def losses(self, batch: StackedBatch, evaluate: EvaluateRows | None) -> torch.Tensor:
        """Return each client's mean cross-entropy, shape (clients,); their sum's gradient is each one's own.

        Args:
            batch: The clients' batches.
            evaluate: Evaluates the circuit; None where there is none.
        """
        count, rows, _ = batch.features.shape
        logits = self._logits(batch, evaluate)
        entropies = cross_entropy(logits.reshape(count * rows, -1), batch.labels.reshape(-1), reduction="none")
        return (entropies.reshape(count, rows) * _row_weights(batch)).sum(dim=1)

    def _named(self, rows: torch.Tensor) -> State:
        """Return views of rows of numbers as tensors by name, each with the clients on its leading axis."""
        parts = zip(self._own.items(), rows.split(self._sizes, dim=1), strict=True)
        return {name: part.view(len(rows), *own.shape) for (name, own), part in parts}

    def _logits(self, batch: StackedBatch, evaluate: EvaluateRows | None) -> torch.Tensor:
        values, tensors = self._model.scaling(batch.features), self._named(self._trained)
        for place, module in enumerate(self._head):
            if isinstance(module, nn.Linear):
                weight, bias = (tensors[f"head.{place}.{kind}"] for kind in ("weight", "bias"))
                values = torch.baddbmm(bias[:, None], values, weight.transpose(1, 2))
            elif isinstance(module, SeededDropout):
                values = self._with_dropout(values, module.probability, batch.sizes)
            else:
                values = module(values)
        if isinstance(self._model.quantum, nn.Identity):
            return values
        if evaluate is None:
            return _through_classical(values, tensors)
        frozen = cast(torch.Tensor, self._model.quantum.weight).detach().expand(len(values), -1)
        return _through_circuit(values, tensors.get("quantum.weight", frozen), batch.sizes, evaluate)

    def _with_dropout(self, values: torch.Tensor, probability: float, sizes: Sequence[int]) -> torch.Tensor:
        """Return the values after dropout, which each client draws for its own rows as it does alone."""
        if not probability:
            return values
        keep = 1 - probability
        drawn = torch.zeros_like(values)
        for of_client, size, generator in zip(drawn, sizes, self._generators, strict=False):
            of_client[:size].bernoulli_(keep, generator=generator)
        return values * drawn.div_(keep)


def _row_weights(batch: StackedBatch) -> torch.Tensor:
    """Return what each row counts in its client's mean, shape (clients, rows)."""
    sizes = torch.tensor(batch.sizes, device=batch.features.device)[:, None]
    rows = torch.arange(batch.features.shape[1], device=batch.features.device)
    return (rows < sizes) / sizes.clamp(min=1).float()


class _Rows(torch.autograd.Function):
    """The circuit's outputs in all rows; those of no client are 0."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: torch.Tensor,
        weights: torch.Tensor,
        outputs: torch.Tensor,
        jacobian: torch.Tensor,
        rows: torch.Tensor,
    ) -> torch.Tensor:
        ctx.jacobian, ctx.rows, ctx.num_inputs = jacobian, rows, inputs.shape[2]
        filled = outputs.new_zeros(inputs.shape[0] * inputs.shape[1], outputs.shape[1])
        filled[rows] = outputs
        return filled.view(*inputs.shape[:2], -1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        upstream = grad_outputs[0]
        by_row = upstream.reshape(-1, 1, upstream.shape[2])[ctx.rows]
        grads = upstream.new_zeros(upstream.shape[0] * upstream.shape[1], ctx.jacobian.shape[2])
        grads[ctx.rows] = torch.bmm(by_row, ctx.jacobian)[:, 0]
        grads = grads.view(*upstream.shape[:2], -1)
        return grads[..., : ctx.num_inputs], grads[..., ctx.num_inputs :].sum(dim=1), None, None, None


def _through_circuit(
    inputs: torch.Tensor, weights: torch.Tensor, sizes: Sequence[int], evaluate: EvaluateRows
) -> torch.Tensor:
    """Return the circuit's outputs, shape (clients, rows, outputs), for inputs of shape (clients, rows, inputs)."""
    most, device = inputs.shape[1], inputs.device
    rows = torch.tensor([client * most + row for client, size in enumerate(sizes) for row in range(size)])
    of_rows = inputs.detach().reshape(-1, inputs.shape[2])[rows.to(device)]
    arguments = of_rows.cpu().double().numpy(), weights.detach().cpu().double().numpy()
    answers = (torch.as_tensor(array, dtype=inputs.dtype, device=device) for array in evaluate(*arguments, sizes))
    return cast(torch.Tensor, _Rows.apply(inputs, weights, *answers, rows.to(device)))


def _through_classical(inputs: torch.Tensor, tensors: State) -> torch.Tensor:
    """Return what the circuit's control gives with each client's own weights, shape (clients, rows, outputs)."""
    first, bias, second = (tensors[f"quantum.{name}"] for name in ("first", "bias", "second"))
    if "quantum.partial" in tensors:
        unit = tensors["quantum.partial"]
        first = torch.cat([first, pad(unit, (0, first.shape[2] - unit.shape[1]))[:, None]], dim=1)
    bias = pad(bias, (0, first.shape[1] - bias.shape[1]))
    hidden = torch.tanh(torch.baddbmm(bias[:, None], inputs, first.transpose(1, 2)))
    return torch.tanh(torch.bmm(hidden, second.transpose(1, 2)))
