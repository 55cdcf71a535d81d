"""A simulated machine in time: its queue, and the calibrations that follow each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from qiskit_fedqml.config.scheduling import SchedulingConfig, moment
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.scheduling.queues import QueueTimes, open_queue


@dataclass(frozen=True)
class BackendFacts:
    """What the clock needs of a backend.

    Args:
        executions_per_example: Executions by which a client trains on one example once.
        success_probability: Of the circuit; None where nothing is known.
    """

    executions_per_example: int
    success_probability: float | None


DateOf = Callable[[str], str | None]
"""Returns the date of the calibration of an entry."""


class FactsOf(Protocol):
    """Finds the facts of a backend by its name."""

    def __call__(self, backend: str) -> BackendFacts:
        """Return a backend's facts."""
        ...


@dataclass(frozen=True)
class SimulatedMachine:
    """A machine in time.

    Args:
        name: Its name.
        queue: Its queue times.
        entries: The entries that stand for it, one after another.
        since_seconds: From when on each of them does, on the run's clock; the first from ever.
        dates_seconds: When each was calibrated, on the run's clock; None without a date, or where time has none.
    """

    name: str
    queue: QueueTimes
    entries: tuple[str, ...]
    since_seconds: tuple[float, ...]
    dates_seconds: tuple[float | None, ...]

    def place_at(self, now_seconds: float) -> int:
        """Return which of the entries stands for the machine now."""
        return max(place for place, since in enumerate(self.since_seconds) if place == 0 or since <= now_seconds)

    def entry_at(self, now_seconds: float) -> str:
        """Return the entry that stands for the machine now."""
        return self.entries[self.place_at(now_seconds)]

    def age_seconds_at(self, now_seconds: float) -> float:
        """Return the age of the calibration in force; 0 where it has no date, or one that lies ahead."""
        date = self.dates_seconds[self.place_at(now_seconds)]
        return 0.0 if date is None else max(0.0, now_seconds - date)


def open_machines(config: SchedulingConfig, names: Sequence[str], date_of: DateOf) -> Mapping[str, SimulatedMachine]:
    """Return the machines of the clients, in time.

    Args:
        config: The `scheduling` section.
        names: The machines.
        date_of: Returns the date of an entry's calibration.

    Raises:
        ConfigurationError: Calibrations of a machine that follow each other have dates that do not.
        BackendError: An entry that is replayed cannot be opened.
    """
    return {name: _machine(config, name, date_of) for name in names}


def _machine(config: SchedulingConfig, name: str, date_of: DateOf) -> SimulatedMachine:
    queue = open_queue(config.queues.get(name, config.queue))
    replay = config.replay
    if replay is None or name not in replay.later:
        return SimulatedMachine(name, queue, (name,), (0.0,), (None,))
    start, entries = moment(replay.start), (name, *replay.later[name])
    dates = [_date(entry, date_of(entry)) for entry in entries]
    seconds = [(moment(date) - start).total_seconds() for date in dates]
    for place in range(1, len(entries)):
        if seconds[place] <= seconds[place - 1]:
            raise ConfigurationError(
                f"`scheduling.replay.later`: the calibration of {entries[place]!r} ({dates[place]}) must be later than "
                f"that of {entries[place - 1]!r} ({dates[place - 1]})."
            )
    return SimulatedMachine(name, queue, entries, tuple(seconds), tuple(seconds))


def _date(entry: str, date: str | None) -> str:
    try:
        _ = moment(date or "")
    except ValueError:
        raise ConfigurationError(
            f"`scheduling.replay.later`: the calibration of {entry!r} must have a date, but has {date!r}."
        ) from None
    assert date is not None
    return date
