"""What an evaluation is for, and what a device's job for it cost."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class JobKey:
    """What an evaluation is for; a run's replay asks for the same keys again.

    Args:
        server_step: The server step, from 1; in synchronous federations the round. 0 outside of a training.
        client: The client, from 0; None is the server.
        step: Counts the evaluations of this kind, from 0.
        kind: ``"train"``, ``"test"``, ``"test on …"`` by the server, ``"evaluation"`` of a finished run,
            ``"prediction"`` of new examples by it.
        clients: The clients that ask together; ``client`` is None then.
    """

    server_step: int
    client: int | None
    step: int
    kind: str
    clients: tuple[int, ...] = ()

    @property
    def is_training(self) -> bool:
        """Whether a client trains by it."""
        return self.kind == "train"

    @property
    def is_test(self) -> bool:
        """Whether nothing is trained by the evaluation."""
        return self.kind in ("evaluation", "prediction") or self.kind.partition(" ")[0] == "test"

    def at(self, step: int) -> "JobKey":
        """Return the key of another step."""
        return replace(self, step=step)

    def __str__(self) -> str:
        who = "the server" if self.client is None else f"client {self.client}"
        if self.clients:
            who = f"clients {', '.join(map(str, self.clients))}"
        return f"round {self.server_step}, {who}, {self.kind} step {self.step}"


@dataclass(frozen=True)
class JobReceipt:
    """A job that a device ran.

    Args:
        job_id: The device's name for it.
        planned_seconds: QPU seconds that were estimated before it was sent; None where the device states no durations.
        reported_seconds: QPU seconds that the service charged; None where it has not said so (yet).
    """

    job_id: str
    planned_seconds: float | None
    reported_seconds: float | None


@dataclass
class Usage:
    """What a network has asked of its backend so far.

    Args:
        jobs: Evaluations, each one job, or several where a device's job would be too long.
        circuits: Bound circuits.
        executions: Circuits times shots.
        receipts: The jobs that a device ran.
    """

    jobs: int = 0
    circuits: int = 0
    executions: int = 0
    receipts: tuple[JobReceipt, ...] = ()

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(
            self.jobs - earlier.jobs,
            self.circuits - earlier.circuits,
            self.executions - earlier.executions,
            self.receipts[len(earlier.receipts) :],
        )

    def copy(self) -> "Usage":
        """Return the counts as they are now."""
        return Usage(self.jobs, self.circuits, self.executions, self.receipts)
