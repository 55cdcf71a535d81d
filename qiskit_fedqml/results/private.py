"""What a run has spent of its privacy, in words; whoever simulates its noise is said to protect nobody."""

from typing import TYPE_CHECKING

from qiskit_fedqml.config.privacy import PrivacyConfig

if TYPE_CHECKING:
    from qiskit_fedqml.results.result import RunResult


def privacy_in_words(run: "RunResult") -> str:
    """Return what a run has spent, and who is protected by what; empty without privacy, or without a round."""
    config = run.experiment.privacy
    if config is None or not run.rounds or (epsilon := run.rounds[-1].epsilon) is None:
        return ""
    who = "client" if config.protects_clients else "example"
    return f"Privacy: (ε = {epsilon:.4g}, δ = {config.delta:g}) for each {who}, {_source(config)}."


def _source(config: PrivacyConfig) -> str:
    if config.randomness == "simulated":
        return "with simulated noise from the run's seed: nobody is protected"
    return "noise from the operating system"
