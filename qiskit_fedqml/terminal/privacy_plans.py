"""What `fedqml privacy` prints."""

from pathlib import Path
from typing import Any

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.planning.privacy import PrivacyPlan
from qiskit_fedqml.terminal.json_files import write_json
from qiskit_fedqml.terminal.output import print_table

_SHOWN = (1, 2, 5)
"""Of rounds, so many and ten times as many and so on are shown, and the last one."""


def show_privacy(experiment: Experiment, epsilon: float | None, json_: Path | None, *, overwrite: bool) -> None:
    """Print what an experiment will spend of its privacy, and the noise with which it spends so much at most.

    Args:
        experiment: The experiment.
        epsilon: The wanted ε, or None.
        json_: Where that is written as JSON, or None; ``-`` prints it, and nothing else.
        overwrite: Whether a file there that holds something else may be replaced.

    Raises:
        ConfigurationError: The experiment has no section `privacy`, no noise spends so little, or dp-accounting is not
            installed.
        ResultError: The file cannot be written.
    """
    plan = PrivacyPlan.of(experiment)
    noise = None if epsilon is None else plan.noise_for(epsilon)
    values = _values(plan)
    if epsilon is not None:
        values["wanted"] = {"epsilon": epsilon, "rounds": plan.rounds, "noise_multiplier": noise}
    if not write_json(values, json_, overwrite=overwrite):
        return
    print(_settings(plan))
    print_table([_row(plan, round) for round in _rounds(plan)])
    print(_ceiling(plan))
    if noise is not None:
        print(_advice(plan, experiment, epsilon or 0.0, noise))


def _rounds(plan: PrivacyPlan) -> list[int]:
    """Return the rounds that are shown."""
    tens = [10**power for power in range(len(str(plan.rounds)))]
    shown = {few * ten for ten in tens for few in _SHOWN if few * ten <= plan.rounds}
    return sorted({*shown, plan.rounds, *([plan.last_round] if plan.last_round else [])})


def _row(plan: PrivacyPlan, round: int) -> dict[str, str]:
    tasks = {"Tasks of the busiest client": f"{plan.tasks[round - 1]:,}"} if plan.tasks else {}
    return {"Round": f"{round:,}", **tasks, "ε": f"{plan.epsilon(round):.4g}"}


def _values(plan: PrivacyPlan) -> dict[str, Any]:
    config, accountant = plan.config, plan.budget.accountant
    return {
        "protects": _level(config),
        "delta": config.delta,
        "noise_multiplier": accountant.noise_multiplier,
        "sampling_rate": accountant.sampling_rate,
        "randomness": config.randomness,
        "rounds": [
            {"round": round, "steps": plan.steps[round - 1], "epsilon": plan.epsilon(round)} for round in _rounds(plan)
        ],
        "is_guess": plan.is_guess,
        "ceiling": config.epsilon,
        "last_round": plan.last_round,
    }


def _level(config: PrivacyConfig) -> str:
    return "clients" if config.protects_clients else "examples"


def _settings(plan: PrivacyPlan) -> str:
    accountant, config = plan.budget.accountant, plan.config
    who, when = ("client", "round") if config.protects_clients else ("example", "step of its client")
    rate = accountant.sampling_rate
    taken = f"takes part in a {when} with probability {rate:.4g}" if rate < 1 else f"takes part in every {when}"
    text = f"Each {who} {taken}; noise multiplier {accountant.noise_multiplier:g}, δ = {config.delta:g}."
    is_simulated = config.randomness == "simulated"
    return f"{text} Noise will be simulated from the run's seed: nobody is protected." if is_simulated else text


def _ceiling(plan: PrivacyPlan) -> str:
    guess = " Clients are drawn as tasks end, so the busiest one may have a few more or less." if plan.is_guess else ""
    if (ceiling := plan.config.epsilon) is None:
        return f"No ceiling is set (`privacy.epsilon`).{guess}"
    if not plan.last_round:
        return f"`privacy.epsilon`, {ceiling:g}, does not allow the first round.{guess}"
    if plan.last_round < plan.rounds:
        return f"`privacy.epsilon`, {ceiling:g}, ends the run after round {plan.last_round:,}.{guess}"
    return f"`privacy.epsilon`, {ceiling:g}, allows all rounds.{guess}"


def _advice(plan: PrivacyPlan, experiment: Experiment, epsilon: float, noise: float) -> str:
    key = f"privacy.{_level(plan.config)}.noise_multiplier"
    rounds = "1 round spends" if plan.rounds == 1 else f"{plan.rounds:,} rounds spend"
    text = f"{rounds} at most ε = {epsilon:g} with {key}: {noise:g} (--set {key}={noise:g})."
    adaptive = plan.config.clients.adaptive if plan.config.clients is not None else None
    if adaptive is not None and adaptive.noise_on_count(experiment.federation.clients_per_round) <= noise / 2:
        text += f" It takes privacy.clients.adaptive.count_noise above {noise / 2:g}, or no adaptive norm."
    return text
