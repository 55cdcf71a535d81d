"""What is looked at in attacks on privacy: what attackers see, of which models, with which protection."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qiskit_fedqml.config.experiment import Experiment

UNPROTECTED = "none"
DELTA = 1e-5
Sees = Literal["update", "aggregate"]
"""A client's update, as the server sees it; or what a round has changed in the global model, as all see who get it."""


@dataclass(frozen=True)
class Case:
    """A round of which pictures are rebuilt.

    Args:
        title: What tables and figures call it.
        images: How many each client has.
        has_head: Whether a layer of 16 units comes before the paper's circuit, or nothing before a circuit of pixels.
        sees: What the attacker sees.
        changes: Further settings, by dotted key.
    """

    title: str
    images: int = 1
    has_head: bool = True
    sees: Sees = "update"
    changes: Mapping[str, Any] = field(default_factory=dict)


CASES = (
    Case("1 image"),
    Case("1 image, 5 epochs", changes={"federation.local_epochs": 5}),
    Case("1 image, Adam", changes={"federation.optimizer": "adam", "federation.learning_rate": 0.02}),
    Case("2 images", images=2),
    Case("4 images", images=4),
    Case("8 images", images=8),
    Case("1 image of each of 4 clients, aggregate", sees="aggregate"),
    Case("1 image, circuit alone", has_head=False),
)
MODELS: Mapping[str, Mapping[str, Any]] = {
    "layer and circuit": {},
    "layers alone": {"model.quantum": "none"},
}
"""Models of which members are guessed: logits of a circuit lie between −1 and 1, others anywhere."""


def protections(*, is_one_step: bool) -> dict[str, Mapping[str, Any]]:
    """Return what protects the clients, as settings; differential privacy where this version has it.

    Args:
        is_one_step: Whether clients take one step on all of their examples.
    """
    found: dict[str, Mapping[str, Any]] = {UNPROTECTED: {}}
    if "privacy" not in Experiment.model_fields:
        return found
    rate, noise = (1.0, 1.0) if is_one_step else (0.5, 2.0)
    examples = {"noise_multiplier": noise, "max_norm": 1.0, "sampling_rate": rate}
    clients = {"noise_multiplier": noise, "max_norm": 1.0}
    for name, level in (("examples", examples), ("clients", clients)):
        section = {"delta": DELTA, "randomness": "simulated", name: level}
        found[name] = {"privacy": section, "federation.on_client_failure": "skip"}
    return found
