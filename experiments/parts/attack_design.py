"""The attacks and defences that are compared, as settings of an experiment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from parts.command_line import experiment_file
from qiskit_fedqml import load_experiment
from qiskit_fedqml.config.experiment import Experiment

CLEAN = "none"
"""Where nobody attacks."""
UNDEFENDED = "fedavg"
"""Where the server does nothing about it."""

_ROUNDS, _LOCAL_EPOCHS = 40, 2
_BOUND = 1.5
"""Honest updates have norms of 2.2 in the first round, and of 1.1 to 1.7 in the last ones."""
_RATIO = 1.5
"""No honest update was more than 1.4 times as long as the median in a run that was looked at."""

Settings = Callable[[int, int], Mapping[str, Any]]
"""What is set for so many clients, of whom so many attack."""


@dataclass(frozen=True)
class Attack:
    """What some clients do.

    Args:
        title: What tables and figures call it.
        wants: What the model is to answer: anything but the truth, the class that labels are flipped to, or the
            backdoor's class wherever the trigger is.
        poison: The argument of :func:`parts.poisoned_digits.digits` that says how many clients have such data.
        forge: Arguments of :class:`parts.forged_updates.Forged`; None sends what was trained.
        machine: The entry of the machine that attackers have, by the run's seed and the attacker; None is an ideal one.
        is_shared: Whether all attackers have one machine, and not each its own.
    """

    title: str
    wants: Literal["errors", "flipped classes", "target"] = "errors"
    poison: str | None = None
    forge: Settings | None = None
    machine: Callable[[int, int], Mapping[str, Any]] | None = None
    is_shared: bool = True


def _times(factor: float | str) -> Settings:
    return lambda clients, attackers: {"kind": "times", "factor": factor}


def _lying(lie: str, radians: float = 0.0) -> Callable[[int, int], Mapping[str, Any]]:
    return lambda seed, attacker: {
        "type": "python",
        "python": "parts.lying_machines:LyingMachine",
        "arguments": {"lie": lie, "radians": radians, "seed": 1000 * seed + attacker},
    }


ATTACKS: Mapping[str, Attack] = {
    CLEAN: Attack("nobody attacks"),
    "label_flip": Attack("labels flipped", "flipped classes", poison="flipped"),
    "sign_flip": Attack("update × −1", forge=_times(-1.0)),
    "scaled": Attack("update × −4", forge=_times(-4.0)),
    "not_finite": Attack("update NaN", forge=_times("nan")),
    "little": Attack("a little is enough", forge=lambda clients, attackers: {"kind": "little"}),
    "inner_product": Attack("inner product", forge=lambda clients, attackers: {"kind": "mean", "factor": -0.5}),
    "backdoor": Attack("backdoor", "target", poison="triggered"),
    "boosted_backdoor": Attack(
        "backdoor, boosted",
        "target",
        poison="triggered",
        forge=lambda clients, attackers: {"kind": "times", "factor": clients / attackers},
    ),
    "readout_flip": Attack("readout flipped", machine=lambda seed, attacker: {"type": "aer", "noise": {"readout": 1}}),
    "same_angle": Attack("gates + 1 rad", machine=_lying("same_angle", 1.0)),
    "own_angles": Attack("gates + N(0, 1) rad", machine=_lying("own_angles", 1.0), is_shared=False),
    "paulis": Attack("Paulis added", machine=_lying("paulis")),
}


@dataclass(frozen=True)
class Defence:
    """What the server does about it.

    Args:
        title: What tables and figures call it.
        settings: The `aggregation` section.
    """

    title: str
    settings: Settings


def _most_for_bulyan(clients: int) -> int:
    """Return the largest f with 4 f + 3 clients, at least 1."""
    return max(1, (clients - 3) // 4)


DEFENCES: Mapping[str, Defence] = {
    UNDEFENDED: Defence("FedAvg", lambda n, f: {}),
    "median": Defence("median", lambda n, f: {"rule": "coordinate_median"}),
    "trimmed_mean": Defence("trimmed mean", lambda n, f: {"rule": {"trimmed_mean": {"fraction": f / n}}}),
    "krum": Defence("Krum", lambda n, f: {"rule": {"krum": {"byzantine": f}}}),
    "multi_krum": Defence("Multi-Krum", lambda n, f: {"rule": {"multi_krum": {"byzantine": f}}}),
    "bulyan": Defence("Bulyan", lambda n, f: {"rule": {"bulyan": {"byzantine": min(f, _most_for_bulyan(n))}}}),
    "geometric_median": Defence("geometric median", lambda n, f: {"rule": "geometric_median"}),
    "foolsgold": Defence("FoolsGold", lambda n, f: {"rule": "foolsgold"}),
    "norm_bound": Defence("norm bound", lambda n, f: {"norm_bound": _BOUND}),
    "norm_ratio": Defence("norm ratio", lambda n, f: {"norm_ratio": _RATIO}),
    "ratio_and_trimmed": Defence(
        "ratio + trimmed mean", lambda n, f: {"norm_ratio": _RATIO, "rule": {"trimmed_mean": {"fraction": f / n}}}
    ),
    "bound_and_median": Defence("bound + median", lambda n, f: {"norm_bound": _BOUND, "rule": "coordinate_median"}),
}


def experiment_of(
    attack: str, defence: str, *, seed: int, clients: int, attackers: int, overrides: Mapping[str, Any]
) -> Experiment:
    """Return the experiment of one attack, defence and seed.

    Args:
        attack: One of ``ATTACKS``.
        defence: One of ``DEFENCES``.
        seed: The run's.
        clients: How many clients there are, all of which take part in each round.
        attackers: How many of them attack, the first ones.
        overrides: Further changes, by dotted key.
    """
    of = ATTACKS[attack]
    data = {"clients": clients, "seed": seed, **({of.poison: attackers} if of.poison else {})}
    changes: dict[str, Any] = {
        "seed": seed,
        "data": {"python": "parts.poisoned_digits:digits", "arguments": data},
        "federation.clients": clients,
        "federation.clients_per_round": clients,
        "federation.rounds": _ROUNDS,
        "federation.local_epochs": _LOCAL_EPOCHS,
        "federation.lockstep": "auto",
        "aggregation": DEFENCES[defence].settings(clients, attackers),
        **overrides,
    }
    if of.forge:
        arguments = {"clients": list(range(attackers)), **of.forge(clients, attackers)}
        changes["federation.algorithm"] = {"python": "parts.forged_updates:Forged", "arguments": arguments}
    if of.machine:
        liars = range(1 if of.is_shared else attackers)
        machines = {f"liar{k}": of.machine(seed, k) for k in liars}
        assigned = {str(k): f"liar{k if k in liars else 0}" for k in range(attackers)}
        changes["backends"] = {
            "backends": {"ideal": {"type": "aer"}, **machines},
            "assignment": {"clients": assigned},
        }
    return load_experiment(experiment_file("digits"), changes)


def can_be_stopped(attack: str, experiment: Experiment, attackers: int) -> bool:
    """Return whether attackers whose updates are refused leave fewer than the defence's rule needs."""
    left = experiment.federation.clients - attackers
    return attack == "not_finite" and experiment.aggregation.least_updates > left
