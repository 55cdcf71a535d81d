"""The head's linear layers, large ones by oneDNN on CPUs: torch's own BLAS can be much slower for small batches."""

from typing import Any, cast

import torch
from torch import nn

_ONEDNN_LINEAR = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
"""What torch's compiler makes of ``Linear`` on CPUs; torch gives it no public name. None where torch is without it."""

_LARGE = 2**22
"""Weights from which on oneDNN is used: both take the same time for 8192×256 of them, and oneDNN more for 64×32."""


class OneDnnLinear(nn.Linear):
    """torch's ``Linear`` with the same parameters and, up to rounding, the same numbers.

    With Table I's widths and batches of 32 its products take most of a training step, and on AMD processors the BLAS
    that torch brings along takes about one and a half times as long for them as its oneDNN with two threads
    (``experiments/benchmark_head.py``). Small layers, and what is not a batch of float32 on a CPU, take torch's own
    way, and so do gradients that are to be differentiated again.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return ``input @ weight.T + bias``: shape (batch, in_features) to (batch, out_features)."""
        if not self._takes_onednn(input):
            return super().forward(input)
        return cast(torch.Tensor, _OneDnnProduct.apply(input.contiguous(), self.weight, self.bias))

    def _takes_onednn(self, input: torch.Tensor) -> bool:
        tensors = [t for t in (input, self.weight, self.bias) if t is not None]
        return (
            _ONEDNN_LINEAR is not None
            and bool(torch.backends.mkldnn.enabled)
            and self.weight.numel() >= _LARGE
            and input.dim() == 2
            and input.shape[0] > 0
            and input.shape[1] == self.in_features
            and all(t.dtype == torch.float32 and t.is_cpu for t in tensors)
            and not torch.is_autocast_enabled("cpu")
        )


class _OneDnnProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(input, weight)
        return _times_transposed(input, weight, bias)

    @staticmethod
    def backward(ctx: Any, output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        product = nn.functional.linear if torch.is_grad_enabled() else _times_transposed
        return (
            product(output, weight.t()) if wanted[0] else None,
            product(output.t(), input.t()) if wanted[1] else None,
            output.sum(0) if wanted[2] else None,
        )


def _times_transposed(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return ``a @ b.T + bias`` by oneDNN."""
    assert _ONEDNN_LINEAR is not None
    return cast(torch.Tensor, _ONEDNN_LINEAR(a, b, bias, "none", [], ""))


def uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> torch.Tensor:
    """Draw initial weights as torch has them in ``Linear``, uniform in ±1/√fan_in."""
    bound = fan_in**-0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)
