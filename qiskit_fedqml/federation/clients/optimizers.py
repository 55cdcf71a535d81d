"""The clients' optimisers."""

import torch
from torch import nn

from qiskit_fedqml.config.experiment import FederationConfig


def make_optimizer(config: FederationConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Make the optimiser that a configuration names."""
    rate, decay = config.learning_rate, config.weight_decay
    match config.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, lr=rate, weight_decay=decay, momentum=config.momentum)
        case "sgd":
            return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=config.momentum)
