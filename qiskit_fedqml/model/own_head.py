"""A torch module of the user's own as the head."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.parts import make_part
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.seeds import torch_generator

_KEY = "model.head"
_TRIED = 2
"""Examples of the batch on which a head is tried: as few as BatchNorm takes."""

_TURN = threading.RLock()
"""Clients of devices train in threads, and torch's global generator is one for all of them."""


class OwnHead(nn.Module):
    """A module of the user's own, from (batch, features) to (batch, outputs).

    What it draws, such as torch's own dropout, comes from ``generator`` while it trains, and is the same at each call
    otherwise; torch's global generator is left as it was.

    Args:
        module: The module.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.generator: torch.Generator | None = None

    @classmethod
    def made(cls, reference: PythonReference, num_features: int, num_outputs: int, seed: int) -> "OwnHead":
        """Make the head that a configuration names, and try it on a batch.

        Args:
            reference: Its name and arguments, which come after the next two.
            num_features: Number of features of an example.
            num_outputs: Number of outputs of an example.
            seed: From which all that its initialisation draws derives.

        Raises:
            ConfigurationError: It cannot be found or made, is no module, fails on a batch or returns another shape, or
                training changes its buffers.
        """
        with _drawing_from(torch_generator(seed)):
            module = make_part(reference, _KEY, num_features, num_outputs)
            if not isinstance(module, nn.Module):
                raise ConfigurationError(
                    f"`{_KEY}`: {reference.python!r} must return a torch.nn.Module, but returned a "
                    f"{type(module).__name__}."
                )
            _try(module, reference.python, num_features, num_outputs)
        return cls(module)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return outputs, shape (batch, outputs), for features of shape (batch, features)."""
        generator = self.generator if self.training else torch_generator(0, features.device)
        if generator is None:  # trained by somebody else's loop, with torch's own generator
            return cast(torch.Tensor, self.module(features))
        with _drawing_from(generator):
            return cast(torch.Tensor, self.module(features))


def fingerprint(head: nn.Module, num_features: int) -> list[float]:
    """Return what a head of the user's own, with its initial weights, gives for two fixed examples: its fingerprint.

    Empty of a built-in head, and where that is not finite.

    Args:
        head: The head.
        num_features: Number of features of an example.
    """
    if not isinstance(head, OwnHead):
        return []
    device = next((tensor.device for tensor in head.state_dict().values()), torch.device("cpu"))
    was_training = head.training
    with torch.no_grad():
        outputs = head.eval()(torch.linspace(-1.0, 1.0, 2 * num_features, device=device).reshape(2, num_features))
    head.train(was_training)
    return [*map(float, outputs.flatten())] if bool(outputs.isfinite().all()) else []


def _try(module: nn.Module, name: str, num_features: int, num_outputs: int) -> None:
    """Let a module take a batch in training mode: lazy layers get their shapes, and what does not fit is refused."""
    before = {key: buffer.clone() for key, buffer in module.named_buffers() if not _is_lazy(buffer)}
    module.train()
    try:
        outputs = module(torch.randn(_TRIED, num_features))
    except Exception as error:
        raise ConfigurationError(
            f"`{_KEY}`: {name!r} fails on features of shape ({_TRIED}, {num_features}): {error}"
        ) from error
    shape = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
    if shape != (_TRIED, num_outputs):
        raise ConfigurationError(
            f"`{_KEY}`: {name!r} must return ({_TRIED}, {num_outputs}) for features of shape "
            f"({_TRIED}, {num_features}), but returned {shape}."
        )
    for key, buffer in module.named_buffers():
        if key not in before or not torch.equal(buffer, before[key]):
            raise ConfigurationError(
                f"`{_KEY}`: training changes the buffer {key!r} of {name!r}, and clients exchange trained parameters "
                "only. Use a layer without running statistics, such as GroupNorm in place of BatchNorm."
            )


def _is_lazy(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, nn.UninitializedBuffer)


@contextmanager
def _drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let torch's global generator of a torch device draw what a generator would, and leave it as it was."""
    shared = torch.default_generator
    if generator.device.type == "cuda":
        torch.cuda.init()
        shared = torch.cuda.default_generators[generator.device.index or 0]
    with _TURN:
        before = shared.get_state()
        shared.set_state(generator.get_state())
        try:
            yield
        finally:
            generator.set_state(shared.get_state())
            shared.set_state(before)
