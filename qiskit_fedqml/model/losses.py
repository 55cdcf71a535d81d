"""What training makes small."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.config.parts import find_part, make_part
from qiskit_fedqml.errors import ConfigurationError

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""The mean loss of a batch, a scalar, for logits of shape (batch, classes) and class indices of shape (batch,)."""

_KEY = "model.loss"


def open_loss(config: ModelConfig, num_classes: int) -> Loss:
    """Return the loss of a model, tried on a batch if it is the user's own.

    Args:
        config: The `model` section.
        num_classes: Number of classes.

    Raises:
        ConfigurationError: It cannot be found or made, fails on a batch, gives no scalar that can be differentiated, or
            has parameters of its own.
    """
    if not isinstance(config.loss, PythonReference):
        return cross_entropy
    loss, name = callable_of(config.loss, _KEY), config.loss.python
    if isinstance(loss, nn.Module) and any(parameter.requires_grad for parameter in loss.parameters()):
        raise ConfigurationError(f"`{_KEY}`: {name!r} has parameters of its own, which nothing trains.")
    logits = torch.eye(num_classes, requires_grad=True)
    try:
        value = loss(logits, torch.arange(num_classes))
    except Exception as error:
        raise ConfigurationError(f"`{_KEY}`: {name!r} fails on logits and labels of a batch: {error}") from error
    if not isinstance(value, torch.Tensor) or value.dim() or not value.requires_grad:
        got = f"of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
        raise ConfigurationError(
            f"`{_KEY}`: {name!r} must give one number that torch can differentiate, a tensor of shape (), but gave "
            f"{got}."
        )
    return cast(Loss, loss)


def callable_of(reference: PythonReference, key: str) -> Callable[..., Any]:
    """Return a function of the user's own with its arguments, or an object of a class made with them.

    Raises:
        ConfigurationError: It cannot be found or made.
    """
    part = find_part(reference, key)
    if isinstance(part, type):
        made: Callable[..., Any] = make_part(reference, key)
        return made
    return partial(part, **reference.arguments) if reference.arguments else part
