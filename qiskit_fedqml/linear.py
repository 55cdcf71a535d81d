"""The head's linear layers, large ones by oneDNN on CPUs: torch's own BLAS can be much slower for small batches."""

from typing import Any, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable

_ONEDNN_LINEAR = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
"""What torch's compiler makes of ``Linear`` on CPUs; torch gives it no public name. None where torch is without it."""

_LARGE = 2**22
"""Weights from which on oneDNN is used; below, the time that Python takes to call it outweighs the gain."""


class Linear(nn.Linear):
    """torch's ``Linear`` with the same parameters and, up to rounding, the same numbers.

    With Table I's widths and batches of 32 its products take most of a training step, and on AMD processors the BLAS
    that torch brings along takes up to twice as long for them as the oneDNN that it brings along too. Small layers, and
    tensors that are not float32 on a CPU, take torch's own way.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return ``input @ weight.T + bias``: shape (batch, in_features) to (batch, out_features)."""
        is_float_on_cpu = all(t.dtype == torch.float32 and t.is_cpu for t in (input, self.weight))
        if _ONEDNN_LINEAR is None or not is_float_on_cpu or self.weight.numel() < _LARGE:
            return super().forward(input)
        return cast(torch.Tensor, _OneDnnLinear.apply(input, self.weight, self.bias))


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(input, weight)
        return _times_transposed(input, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            _times_transposed(output, weight.t()) if wanted[0] else None,
            _times_transposed(output.t(), input.t()) if wanted[1] else None,
            output.sum(0) if wanted[2] else None,
        )


def _times_transposed(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return ``a @ b.T + bias`` by oneDNN."""
    assert _ONEDNN_LINEAR is not None
    return cast(torch.Tensor, _ONEDNN_LINEAR(a, b, bias, "none", [], ""))
