"""The clients' optimisers, torch's own, and what a client keeps of one."""

from functools import cache
from inspect import unwrap
from typing import Any

import torch
from torch import nn

from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.federation.messages import States

Parameters = dict[str, nn.Parameter]
"""Trained parameters by name, in the model's order."""


def make_optimizer(
    config: FederationConfig, parameters: Parameters, server_step: int, kept: States
) -> torch.optim.Optimizer:
    """Make a client's optimiser at a server step's learning rate.

    Args:
        config: The `federation` section.
        parameters: What it trains.
        server_step: The server step, from 1, by which the learning rate has decayed.
        kept: What :func:`optimizer_states` gave at the client's last task, or nothing; it is copied.
    """
    rate = config.learning_rate * config.learning_rate_decay ** (server_step - 1)
    decay, trained = config.weight_decay, list(parameters.values())
    optimizer: torch.optim.Optimizer
    match config.optimizer:
        case "adam":
            optimizer = eager(torch.optim.Adam)(trained, lr=rate, weight_decay=decay, fused=True)
        case "rmsprop":
            optimizer = eager(torch.optim.RMSprop)(trained, lr=rate, weight_decay=decay, momentum=config.momentum)
        case "sgd":
            optimizer = eager(torch.optim.SGD)(trained, lr=rate, weight_decay=decay, momentum=config.momentum)
    if kept:
        state = {
            index: {slot: tensors[name].clone() for slot, tensors in kept.items() if name in tensors}
            for index, name in enumerate(parameters)
        }
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return optimizer


@cache
def eager(optimizer: type[torch.optim.Optimizer]) -> Any:
    """Return a torch optimiser's class without the decorators that are for ``torch.compile``.

    These decorators import torch's compiler when an optimiser is made and stepped, which takes longer than a short run;
    nothing here is compiled. The methods under them are found by ``inspect.unwrap``, so the steps are torch's, to the
    bit; where a version of torch has no such decorators, its methods are taken as they are.
    """
    names = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods = {name: unwrap(getattr(optimizer, name)) for name in names}
    return type(optimizer.__name__, (optimizer,), methods | {"step": torch.no_grad()(unwrap(optimizer.step))})


def optimizer_states(optimizer: torch.optim.Optimizer, parameters: Parameters) -> States:
    """Return an optimiser's tensors, such as Adam's moments: for each of its names, the tensors by parameter."""
    states: States = {}
    for index, values in optimizer.state_dict()["state"].items():
        for slot, tensor in values.items():
            if isinstance(tensor, torch.Tensor):  # a slot that is not used holds None
                states.setdefault(slot, {})[list(parameters)[index]] = tensor
    return states
