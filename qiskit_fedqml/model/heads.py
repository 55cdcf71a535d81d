"""Heads: the trainable classical part from features to the circuit's inputs, or to the logits."""

from itertools import pairwise

import torch
from torch import nn

from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.model.dropout import SeededDropout
from qiskit_fedqml.model.linear import OneDnnLinear, uniform
from qiskit_fedqml.model.memory import check_head_fits
from qiskit_fedqml.model.own_head import OwnHead
from qiskit_fedqml.seeds import derive_seed, torch_generator


def build_head(
    num_features: int, config: ModelConfig, num_outputs: int, seed: int, *, is_initial: bool = True
) -> nn.Module:
    """Build the head of a model.

    Args:
        num_features: Number of features of an example.
        config: The `model` section.
        num_outputs: Number of the circuit's inputs; without a circuit, of the classes.
        seed: The run's seed, from which the weights derive.
        is_initial: Whether the layers of ``hidden`` have their initial weights. Otherwise these are whatever the memory
            holds, since drawing them takes seconds with Table I's widths.

    Raises:
        ConfigurationError: It takes more memory than this computer has, the features are not as many as the circuit's
            inputs and there is no head between them, or one of the user's own cannot be made or does not fit.
    """
    derived = derive_seed(seed, "initial head")
    if isinstance(config.head, PythonReference):
        return OwnHead.made(config.head, num_features, num_outputs, derived)
    if config.head == "none":
        if num_features != num_outputs:
            raise ConfigurationError(
                f"`model.head` is none, so that features are the circuit's inputs, but there are {num_features:,} "
                f"features and {num_outputs:,} inputs."
            )
        return nn.Sequential()
    check_head_fits([num_features, *config.hidden, num_outputs])
    generator = torch_generator(derived) if is_initial else None
    return _mlp([num_features, *config.hidden], config.dropout, num_outputs, generator)


def _mlp(widths: list[int], dropout: float, num_outputs: int, generator: torch.Generator | None) -> nn.Sequential:
    """Return the layers of Table I: Linear–ReLU–Dropout for each hidden width, then Linear.

    Weights and biases start as in torch's ``Linear``, but draw from a seeded generator; without one they are left as
    the memory holds them.
    """
    modules: list[nn.Module] = []
    for width, following in pairwise(widths):
        modules += [_linear(width, following, generator), nn.ReLU(), SeededDropout(dropout)]
    return nn.Sequential(*modules, _linear(widths[-1], num_outputs, generator))


def _linear(num_inputs: int, num_outputs: int, generator: torch.Generator | None) -> OneDnnLinear:
    linear = OneDnnLinear(num_inputs, num_outputs, device="meta")  # where torch's own start draws nothing
    shapes = {"weight": (num_outputs, num_inputs), "bias": (num_outputs,)}
    for name, shape in shapes.items():
        values = torch.empty(shape) if generator is None else uniform(shape, num_inputs, generator)
        setattr(linear, name, nn.Parameter(values))
    return linear
