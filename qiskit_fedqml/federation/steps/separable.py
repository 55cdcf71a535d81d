"""Whether a head of the user's own gives each example of a batch a gradient of its own, as DP-SGD needs it."""

import torch

from qiskit_fedqml.errors import ConfigurationError, shortened
from qiskit_fedqml.federation.steps.example_gradients import ExampleGradients
from qiskit_fedqml.model.own_head import OwnHead
from qiskit_fedqml.privacy.packages import import_package
from qiskit_fedqml.seeds import torch_generator

_TRIED = 3
"""Examples of the batch on which a head is tried."""


def check_separable(head: OwnHead, num_features: int) -> None:
    """Check that a head mixes no examples, and that Opacus finds the gradient of each.

    Args:
        head: The head.
        num_features: Number of features of an example.

    Raises:
        ConfigurationError: One example changes another one's outputs, as in BatchNorm; or a parameter has no gradients
            of single examples, or wrong ones.
    """
    generator, was_training, is_trained = head.generator, head.training, any(p.requires_grad for p in head.parameters())
    device = next((parameter.device for parameter in head.parameters()), torch.device("cpu"))
    head.train()
    head.generator = torch_generator(0, device)
    features = torch.randn(_TRIED, num_features, generator=torch_generator(1, torch.device("cpu"))).to(device)
    try:
        reason = _mixing(head, features) or (_unsupported(head, features) if is_trained else "")
    finally:
        head.generator = generator
        head.train(was_training)
    if reason:
        raise ConfigurationError(f"`model.head` cannot come with `privacy.examples`: {reason}.")


def _mixing(head: OwnHead, features: torch.Tensor) -> str:
    validator = import_package("opacus.validators").ModuleValidator
    if errors := validator.validate(head):
        return shortened(str(errors[0]).split(".")[0], 200)
    inputs = features.clone().requires_grad_()
    with torch.enable_grad():
        first = head(inputs)[0].sum()
        of_inputs = torch.autograd.grad(first, inputs, allow_unused=True)[0] if first.requires_grad else None
    if of_inputs is not None and bool(of_inputs[1:].ne(0).any()):
        return "what it gives for one example depends on the others of the batch"
    return ""


def _unsupported(head: OwnHead, features: torch.Tensor) -> str:
    """Return why the gradients of single examples cannot be had, or do not add up to the batch's."""
    gradients, names = ExampleGradients(), {id(p): name for name, p in head.module.named_parameters()}
    trained = [parameter for parameter in head.parameters() if parameter.requires_grad]
    try:
        with gradients.of(head) as watched:
            outputs = head(features)
            loss = (outputs * torch.linspace(0.5, 1.5, outputs.shape[1], device=outputs.device)).sum()
            of_batch = torch.autograd.grad(loss, trained, retain_graph=True)
            samples = watched.samples(loss)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        return f"Opacus finds no gradients of single examples: {shortened(' '.join(str(error).split()), 200)}"
    finally:
        gradients.close()
    every = torch.ones(len(features), dtype=torch.float64, device=features.device)
    for parameter, expected, sample in zip(trained, of_batch, samples, strict=True):
        found = torch.zeros_like(parameter, dtype=torch.float64)
        sample.add_up(every, found)
        if not torch.allclose(found.to(parameter.dtype), expected, rtol=1e-3, atol=1e-4):
            return f"the gradients of single examples of {names[id(parameter)]!r} do not add up to the batch's"
    return ""
