"""What is sent to devices: by whom, and how much."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from qiskit_fedqml.tables import duration


@dataclass(frozen=True)
class Work:
    """What is sent to a device.

    Args:
        jobs: Jobs, each of one PUB.
        circuits: Bound circuits, once for each measurement basis.
        executions: Their shots.
        qpu_seconds: QPU seconds by the device's own durations; those of devices that state none are not among them.
        payload_bytes: What is uploaded, where that is known.
        price_usd: By the prices of the backends file.
    """

    jobs: int = 0
    circuits: int = 0
    executions: int = 0
    qpu_seconds: float = 0.0
    payload_bytes: int = 0
    price_usd: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.jobs + other.jobs,
            self.circuits + other.circuits,
            self.executions + other.executions,
            self.qpu_seconds + other.qpu_seconds,
            self.payload_bytes + other.payload_bytes,
            self.price_usd + other.price_usd,
        )

    def part(self, low: int, high: int, of: int) -> "Work":
        """Return the part from ``low`` to ``high`` of a whole of ``of``; parts add up to the whole.

        A job belongs to the part that begins it.
        """
        whole = (self.circuits, self.executions)
        circuits, executions = (total * high // of - total * low // of for total in whole)
        share = (high - low) / of
        payload = self.payload_bytes * high // of - self.payload_bytes * low // of
        price = self.price_usd * share
        return Work(0 if low else self.jobs, circuits, executions, self.qpu_seconds * share, payload, price)

    def __mul__(self, times: int) -> "Work":
        return Work(*(times * value for value in asdict(self).values()))


@dataclass(frozen=True)
class Item:
    """A client's work in a round, or the server's (``client`` None), on one device.

    Args:
        round: From 1.
        client: From 0, or None.
        backend: The backend's name.
        trains: Whether derivatives are wanted.
        samples: Examples that are evaluated, each as often as it is.
        work: What is sent.
    """

    round: int
    client: int | None
    backend: str
    trains: bool
    samples: int
    work: Work


def work_of(items: Iterable[Item]) -> dict[str, Work]:
    """Return the work of items by backend."""
    found: dict[str, Work] = {}
    for item in items:
        found[item.backend] = found.get(item.backend, Work()) + item.work
    return found


def without_durations(items: Iterable[Item]) -> list[str]:
    """Return the backends that are used and whose devices do not state how long their gates take."""
    return [name for name, work in work_of(items).items() if work.jobs and not work.qpu_seconds]


def qpu_time(work: Work) -> str:
    """Return the QPU time of some work in words; "–" where it is not known."""
    return "–" if work.jobs and not work.qpu_seconds else duration(work.qpu_seconds)
