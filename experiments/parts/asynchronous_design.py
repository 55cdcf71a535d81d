"""What the asynchronous study compares: algorithms on one array in simulated time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from qiskit_fedqml.backends.calibration import Calibration, fake_calibration
from qiskit_fedqml.files import make_folder

DEVICES = ("Manila", "Nairobi", "Jakarta", "Quito", "Lima", "Belem", "Casablanca", "Bogota")
MEDIAN_MINUTES, SIGMA = 15, 1.5
"""Of the log-normal queue times: 5% of tasks wait for less than 1.3 minutes, and 5% for longer than 2.9 hours."""
DRIFT = 0.25
"""Standard deviation of the logarithm by which a machine's error rates change from one calibration to the next."""
HOURS_BETWEEN = 36
"""Hours between the calibrations of a machine."""
_START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Way:
    """A way to train, with as many client updates as each other way.

    Args:
        name: What its results are called.
        at_work: Clients at work at a time: of a round, or in flight.
        buffer: K; None is synchronous.
        policy: Which machine serves a client.
    """

    name: str
    at_work: int
    buffer: int | None
    policy: Any = "expected_queue"

    def settings(self, updates: int) -> dict[str, Any]:
        """Return the settings with which it takes so many updates in all."""
        algorithm = "synchronous" if self.buffer is None else {"buffered": {"buffer": self.buffer}}
        return {
            "federation.clients_per_round": self.at_work,
            "federation.rounds": max(1, updates // (self.buffer or self.at_work)),
            "federation.algorithm": algorithm,
            "scheduling.policy": self.policy,
        }


SYNCHRONOUS, BUFFERED = Way("Synchronous, 8 a round", 8, None), Way("Buffered, K = 2", 8, 2)
WAYS = (
    SYNCHRONOUS,
    Way("Synchronous, 2 a round", 2, None),
    BUFFERED,
    Way("Buffered, K = 4", 8, 4),
    Way("Buffered, K = 2, best machines", 8, 2, {"best": {"success_exponent": 4.0, "age_half_life_hours": 72}}),
)


def array(folder: Path, snapshots: int) -> dict[str, Any]:
    """Return eight machines in time, as settings of an experiment; their calibrations are saved in a folder.

    The first calibration of each is that of a fake device. Each later one has its error rates times a factor that
    wanders: a stated drift, since no history of these devices is published.

    Args:
        folder: Where calibrations are saved.
        snapshots: How many each machine has, one after another; at least 2.
    """
    make_folder(folder)
    entries, later = dict[str, Any](), dict[str, list[str]]()
    for number, device in enumerate(DEVICES):
        machine, factor, rng = device.lower(), 1.0, np.random.default_rng(number)
        names = [machine, *(f"{machine}.{place}" for place in range(1, snapshots))]
        for place, name in enumerate(names):
            found = fake_calibration(f"Fake{device}V2").scaled(factor)
            date = (_START + timedelta(hours=HOURS_BETWEEN * place)).isoformat()
            dated = Calibration(found.configuration, {**found.properties, "last_update_date": date})
            file = folder.absolute() / f"{name}.json"
            dated.save(file)
            entries[name] = {"type": "aer", "shots": 1024, "noise": {"calibration": str(file)}}
            factor *= float(np.exp(DRIFT * rng.standard_normal()))
        later[machine] = names[1:]
    assignment = {"server": "ideal", "default": {"cycle": [device.lower() for device in DEVICES]}}
    queue = {"lognormal": {"median_seconds": 60 * MEDIAN_MINUTES, "sigma": SIGMA}}
    return {
        "backends": {"backends": {"ideal": {"type": "aer"}, **entries}, "assignment": assignment},
        "scheduling": {"queue": queue, "replay": {"start": _START.isoformat(), "later": later}},
    }


def schemes(folder: Path, snapshots: int, updates: int) -> Mapping[str, Mapping[str, Any]]:
    """Return the settings of each way on the array."""
    machines = array(folder, snapshots)
    return {way.name: {**machines, **way.settings(updates)} for way in WAYS}
