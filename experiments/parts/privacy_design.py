"""What is looked at in attacks on privacy: what attackers see, of which models, with which protection."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import fill
from typing import Any, Literal

from qiskit_fedqml.config.experiment import Experiment

UNPROTECTED = "none"
PROTECTIONS = {
    UNPROTECTED: "no differential privacy",
    "examples": "privacy of examples",
    "clients": "privacy of clients",
}
DELTA = 1e-5
_NOISE_OF_ONE_STEP, _NOISE = 1.4, 6.4
"""Noise multipliers with which a step on all examples, and a run of which members are guessed, spend about ε = 3."""
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
    rate, noise = (1.0, _NOISE_OF_ONE_STEP) if is_one_step else (0.5, _NOISE)
    examples = {"noise_multiplier": noise, "max_norm": 0.5, "sampling_rate": rate}
    clients = {"noise_multiplier": noise, "max_norm": 0.05 if is_one_step else 1.0}
    for name, level in (("examples", examples), ("clients", clients)):
        section = {"delta": DELTA, "randomness": "simulated", name: level}
        found[name] = {"privacy": section, "federation.on_client_failure": "skip"}
    return found


def in_words(runs: int, rounds: int, size: int, clients: int) -> str:
    """Return what the figures are, and what they do not show.

    Args:
        runs: How many runs there are of each model and protection.
        rounds: How many rounds these have.
        size: How many examples the pool has.
        clients: How many clients these runs have.
    """
    paragraphs = [text.format(runs=runs, rounds=rounds, size=size, clients=clients) for text in _ABOUT]
    return "\n\n".join(fill(" ".join(text.split()), 120) for text in paragraphs)


_ABOUT = (
    """**Pictures from a step.** Each of four clients takes one step of SGD on all of its images of digits 0 to 3,
    unless a row says otherwise. PSNR (at most 60 dB here) and SSIM compare what is rebuilt with the image: means
    over all clients and images. "Of the mean digit" is the same for an attacker that has seen no update, knows the
    class and guesses the mean of its digits that no client holds. With a layer of 16 units before the paper's
    circuit, the change of a unit's weights divided by that of its bias is the image (arXiv:2003.14053); with
    several images each unit gives another mixture, and the most similar one is compared with each image, so that
    those figures are what an attacker has among 16 pictures and not what it would choose. With a circuit of 64
    pixels and 64 weights alone, the image is looked for whose gradient is what was sent, as in DLG
    (arXiv:1906.08935): by least squares, from the mean digit on, with the label known. "Aggregate" is what the
    round of four clients changes in the global model.""",
    """**Members of the training data.** {size} digits 3, 5, 8 and 9 of which each is a member of a run's training
    data with probability ½; {runs} runs, {clients} clients, a head of 64 units, {rounds} rounds of 2 local epochs,
    which overfit. The attacker has the final model. "Loss": an example whose loss is low is taken for a member
    (Yeom et al., 2018, arXiv:1709.01604, Adversary 2). "LiRA": the likelihood ratio of the confidence among all
    other runs, the shadow models (Carlini et al., 2022, arXiv:2112.03570). AUC is ½ by chance, and its intervals
    are over runs. "Found at 1%" is the part of members that is found while 1% of the others are taken for members,
    over all runs together.""",
    """**Differential privacy**, where there are rows of it, is of δ = 1e-5: of examples by DP-SGD at the clients,
    of clients by noise at the server. A round in which clients take one step has a noise multiplier of 1.4, which
    spends ε = 3 (five epochs spend more); largest norms are 0.5 for an example's gradient and 0.05 for an update.
    Privacy of clients changes nothing in what the server sees, only in the aggregate. "At most, by ε" is what no
    attack on an example can exceed while 1% of the others are taken for members, e^ε · 1% + δ.""",
    """**Not shown:** attackers that choose the model which clients start from, or that see several rounds of one
    client; optimisation with knowledge of what digits look like; LiRA with many shadow models, which finds
    more.""",
)
