"""The quantum layer's gradient as something that torch can differentiate again, to any order and exactly.

The expectation's derivatives E_j with respect to gate angle j obey the parameter-shift rule themselves: for an angle m
of one gate exp(−iθP/2), ∂E_j/∂θ_m = (E_j(θ + π/2 e_m) − E_j(θ − π/2 e_m)) / 2. So second derivatives take two
evaluations of the Jacobian for each angle m in whose direction the gradient is differentiated, all in one job; any
backend can serve them, and shots leave them unbiased. The chain rule from angles to inputs and weights is
differentiated as formulas.
"""

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch.autograd import Function

from qiskit_fedqml.backends.base import QueuedBackend
from qiskit_fedqml.circuits.arrays import Array
from qiskit_fedqml.circuits.expressions import Expressions
from qiskit_fedqml.config.circuit import Wanted
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.memory import require_memory

if TYPE_CHECKING:
    from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN

_NUMBERS_AT_ONCE = 1 << 24
"""Derivatives at shifted angles that are in memory at once where nothing will be differentiated further, 128 MB."""


def differentiable_gradient(
    upstream: torch.Tensor, parameters: torch.Tensor, of_angles: Array, qnn: "BroadcastEstimatorQNN", of: Wanted
) -> torch.Tensor:
    """Return the gradient of Σ upstream · outputs, with a graph by which it can be differentiated.

    Args:
        upstream: Derivatives of a loss with respect to the outputs, float64 of shape (batch, outputs).
        parameters: Inputs and weights of each example, float64 of shape (batch, inputs + weights).
        of_angles: Derivatives of the outputs with respect to the gate angles there, shape (batch, outputs, angles).
        qnn: The network.
        of: Of which parameters' angles they are.

    Returns:
        Shape (batch, inputs + weights).
    """
    angles = cast(torch.Tensor, _Angles.apply(parameters, qnn.angles.expressions))
    slopes = cast(torch.Tensor, _Slopes.apply(angles, qnn, of, of_angles))
    by_angle = torch.bmm(upstream[:, None, :], slopes)[:, 0]
    return _pulled_back(by_angle, parameters, qnn.angles.expressions)


def _pulled_back(by_expression: torch.Tensor, parameters: torch.Tensor, expressions: Expressions) -> torch.Tensor:
    """Turn derivatives by expressions, shape (batch, expressions), into those by parameters."""
    device = parameters.device
    factors = cast(torch.Tensor, _Angles.apply(parameters, expressions.derivatives))
    terms = by_expression[:, torch.as_tensor(expressions.term_expressions, device=device)] * factors
    columns = torch.as_tensor(expressions.term_params, device=device)
    return torch.zeros_like(parameters).index_add(1, columns, terms)


class _Angles(Function):
    """Values of expressions, shape (batch, expressions), at parameters of shape (batch, parameters)."""

    @staticmethod
    def forward(ctx: Any, parameters: torch.Tensor, expressions: Expressions) -> torch.Tensor:
        ctx.save_for_backward(parameters)
        ctx.expressions = expressions
        return torch.as_tensor(expressions.values(_array(parameters)), device=parameters.device)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (parameters,) = ctx.saved_tensors
        return _pulled_back(upstream[0], parameters, ctx.expressions), None


class _Slopes(Function):
    """Derivatives of the outputs with respect to the angles, shape (batch, outputs, angles)."""

    @staticmethod
    def forward(
        ctx: Any, angles: torch.Tensor, qnn: "BroadcastEstimatorQNN", of: Wanted, known: Array | None
    ) -> torch.Tensor:
        ctx.save_for_backward(angles)
        ctx.qnn, ctx.of = qnn, of
        if known is None:
            known = qnn.evaluate_at_angles(_array(angles), jacobian=True, of=of)[1]
        return torch.as_tensor(known, device=angles.device)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Differentiate Σ upstream · E_m by angle j: by the symmetry of second derivatives Σ upstream · ∂E_j/∂θ_m."""
        (angles,) = ctx.saved_tensors
        total = torch.zeros_like(angles)
        if not len(angles):
            return total, None, None, None
        _check_backend(ctx.qnn)
        shifted = _directions(ctx, upstream[0])
        numbers_each = 2 * upstream[0].numel()
        if torch.is_grad_enabled():
            require_memory(8 * numbers_each * len(shifted), "Derivatives of third order at all shifted angles")
            at_once = len(shifted)
        else:
            at_once = max(1, _NUMBERS_AT_ONCE // max(1, numbers_each))
        for start in range(0, len(shifted), max(1, at_once)):
            total = total + _along(ctx, angles, upstream[0], shifted[start : start + at_once])
        return total, None, None, None


def _directions(ctx: Any, upstream: torch.Tensor) -> list[int]:
    """Return the angles to shift: all that matter if it will be differentiated further, else those with an upstream."""
    shifted = list(ctx.qnn.programs[ctx.of].shifted)
    if torch.is_grad_enabled():
        return shifted
    present = upstream.detach().ne(0).any(dim=0).any(dim=0).tolist()
    return [m for m in shifted if present[m]]


def _along(ctx: Any, angles: torch.Tensor, upstream: torch.Tensor, shifted: list[int]) -> torch.Tensor:
    """Return what the shifts of some angles contribute, shape (batch, angles)."""
    batch, num_angles = angles.shape
    shifts = angles.new_zeros(2, len(shifted), num_angles)
    for k, m in enumerate(shifted):
        shifts[0, k, m], shifts[1, k, m] = torch.pi / 2, -torch.pi / 2
    points = (angles[:, None, None, :] + shifts).reshape(-1, num_angles)
    slopes = cast(torch.Tensor, _Slopes.apply(points, ctx.qnn, ctx.of, None))
    slopes = slopes.reshape(batch, 2, len(shifted), *slopes.shape[1:])
    return torch.einsum("bom,bmoj->bj", upstream[:, :, shifted], (slopes[:, 0] - slopes[:, 1]) / 2)


def _check_backend(qnn: "BroadcastEstimatorQNN") -> None:
    if isinstance(qnn.backend, QueuedBackend):
        circuits = 4 * len(qnn.program.shifted) ** 2
        raise BackendError(
            f"Backend {qnn.backend.name!r} is a device, and second derivatives would need up to {circuits:,} circuits "
            "for each example; differentiate twice on a simulated backend."
        )


def _array(tensor: torch.Tensor) -> Array:
    return np.ascontiguousarray(tensor.detach().cpu().numpy())
