"""What the server checks of an update before any rule gets it, whoever made it; what fails is refused with a reason."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from qiskit_fedqml.errors import shown
from qiskit_fedqml.federation.messages import ClientUpdate, State, Status
from qiskit_fedqml.federation.states import difference, squared_norm

if TYPE_CHECKING:
    import torch


def validated(updates: Iterable[ClientUpdate], model: State, norm_ratio: float | None) -> Iterator[ClientUpdate]:
    """Give updates as they are, or refused: without their tensors and what their clients would keep.

    An update must have the model's tensors, by name, type and shape, all finite, and a number of examples from 0.

    Args:
        updates: The updates of a server step, in their order.
        model: The global model.
        norm_ratio: An update whose norm, that of the difference from the global model, is more than so many times the
            median of all updates' norms is refused; None compares none, and lets updates pass one by one.
    """
    checked = (_refused(update, reason) if (reason := _flaw(update, model)) else update for update in updates)
    if norm_ratio is None:
        yield from checked
        return
    all_of_them = list(checked)
    norms = [None if update.state is None else update_norm(update.state, model) for update in all_of_them]
    known = [norm for norm in norms if norm is not None]
    middle = median(known) if known else 0.0
    for update, norm in zip(all_of_them, norms, strict=True):
        if norm is not None and norm > norm_ratio * middle:
            yield _refused(update, f"its norm, {norm:.3g}, is more than {norm_ratio:g} times the median, {middle:.3g}")
        else:
            yield update


def update_norm(state: State, model: State) -> float:
    """Return the Euclidean norm of a state less a model, over all tensors together, in float64."""
    return math.sqrt(squared_norm(difference(state, model)))


def _flaw(update: ClientUpdate, model: State) -> str:
    """Return what is wrong with an update; nothing of one that brings no tensors."""
    if update.state is None:
        return ""
    if update.num_examples < 0:
        return f"it states {update.num_examples} examples"
    if update.state.keys() != model.keys():
        lacking, more = sorted(model.keys() - update.state.keys()), sorted(update.state.keys() - model.keys())
        return f"it lacks {shown(lacking[0])}" if lacking else f"it has {shown(more[0])}, which the model has not"
    flaws = (_flaw_of(update.state[name], expected) for name, expected in model.items())
    return next((f"{shown(name)} is {flaw}" for name, flaw in zip(model, flaws, strict=True) if flaw), "")


def _flaw_of(tensor: "torch.Tensor", expected: "torch.Tensor") -> str:
    """Return what a tensor is that it should not be."""
    if (tensor.dtype, tensor.shape) != (expected.dtype, expected.shape):
        found, wanted = (f"{of.dtype} of shape {tuple(of.shape)}" for of in (tensor, expected))
        return f"{found}, not {wanted}"
    if tensor.layout != expected.layout or tensor.is_meta:
        return "a shape without numbers" if tensor.is_meta else "sparse"
    # A sum is finite only if all of it is, and is several times as fast; it may overflow.
    is_finite = bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())
    return "" if is_finite else "not finite"


def _refused(update: ClientUpdate, reason: str) -> ClientUpdate:
    return replace(update, status=Status.REFUSED, reason=reason, state=None, client_states={})
