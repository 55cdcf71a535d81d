"""The `scheduling` section of an experiment file: a simulated clock, and which machine serves a client when."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, Tag, field_validator, model_validator

from qiskit_fedqml.config.alternatives import NAME, one_of, tag_of
from qiskit_fedqml.config.strict import MOST_SECONDS, Number, PositiveInteger, PositiveNumber, Seconds, StrictModel
from qiskit_fedqml.errors import listed, shown

_NaturalSeconds = Annotated[Number, Field(ge=0.0, le=MOST_SECONDS)]
MOST_ROWS = 10_000
"""Of all traces of an experiment: each hour of a year has one. Its configuration is written and read with each run."""


class LognormalOptions(StrictModel):
    """``median_seconds`` is exp μ; ``sigma`` is the standard deviation of the logarithm, 0 for equal times."""

    median_seconds: Seconds
    """The median queue time."""
    sigma: Annotated[Number, Field(ge=0.0, le=10.0)]
    """Standard deviation of its logarithm; 0 makes all equal."""


class Lognormal(StrictModel):
    """Queue times that are drawn for each task from a log-normal distribution."""

    lognormal: LognormalOptions
    """Queue times that are drawn for each task."""


class Trace(StrictModel):
    """Recorded queue times: rows of a time on the run's clock and the queue time from then on, both in seconds."""

    trace: Annotated[tuple[tuple[_NaturalSeconds, _NaturalSeconds], ...], Field(min_length=1, max_length=MOST_ROWS)]
    """Recorded queue times: rows of a time and the queue time from then on, or a CSV file's path."""

    @field_validator("trace")
    @classmethod
    def _times_increase(cls, rows: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        for (time, _), (following, _) in pairwise(rows):
            if following <= time:
                raise ValueError(f"times must increase, but {following:g} comes after {time:g}")
        return rows


Queue = Annotated[
    Annotated[Lognormal, Tag(tag_of("lognormal"))] | Annotated[Trace, Tag(tag_of("trace"))],
    one_of(
        "must be {lognormal: {median_seconds: S, sigma: F}} or {trace: [[TIME, SECONDS], …]}",
        {"lognormal": Lognormal, "trace": Trace},
        names=(),
    ),
]


class BestOptions(StrictModel):
    """``success_exponent`` is γ; ``age_half_life_hours`` halves the score of a calibration of that age."""

    success_exponent: Annotated[Number, Field(ge=0.0, le=20.0)] = 1.0
    """The exponent γ of the machine's success probability."""
    age_half_life_hours: Annotated[PositiveNumber, Field(le=1e6)] | None = None
    """A calibration of this age counts half; none leaves age out."""

    @model_validator(mode="after")
    def _is_not_by_queue_alone(self) -> "BestOptions":
        if not self.success_exponent and self.age_half_life_hours is None:
            raise ValueError("success_exponent 0 without age_half_life_hours is the policy expected_queue")
        return self


class Best(StrictModel):
    """A task goes to the machine with the largest P^γ · 2^(−age/half-life) / expected time."""

    best: BestOptions
    """Tasks go to the machine with the best success probability for its time."""


class ExploreOptions(StrictModel):
    """From server step ``refine_from`` on, only machines of at least ``least_success`` times the best P are used."""

    refine_from: PositiveInteger
    """The server step from which only good machines are used."""
    least_success: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.95
    """Good ones have at least so many times the best success probability."""


class ExploreThenRefine(StrictModel):
    """Tasks go to whatever machine is expected to be fastest at first, and later to the good ones among them."""

    explore_then_refine: ExploreOptions
    """Tasks go to fast machines first, and later to good ones."""


Policy = Annotated[
    Annotated[Literal["assigned", "expected_queue"], Tag(NAME)]
    | Annotated[Best, Tag(tag_of("best"))]
    | Annotated[ExploreThenRefine, Tag(tag_of("explore_then_refine"))],
    one_of(
        "must be assigned, expected_queue, {best: {…}} or {explore_then_refine: {refine_from: N}}",
        {"best": Best, "explore_then_refine": ExploreThenRefine},
        ["assigned", "expected_queue"],
    ),
]


def moment(text: str) -> datetime:
    """Return the time that an ISO date states; without a zone it is UTC.

    Raises:
        ValueError: It is no such date.
    """
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Replay(StrictModel):
    """Calibrations that follow each other.

    ``start`` is the date at which the run's clock is 0. ``later`` names, for a machine, further entries of the backends
    file: each of them takes the machine's place from the date of its calibration on.
    """

    start: Annotated[str, Field(max_length=100)]
    """The date at which the run's clock is 0."""
    later: Annotated[dict[str, Annotated[tuple[str, ...], Field(min_length=1)]], Field(min_length=1)]
    """By machine, the entries that take its place from the dates of their calibrations on."""

    @field_validator("start")
    @classmethod
    def _is_a_date(cls, start: str) -> str:
        try:
            moment(start)
        except ValueError:
            raise ValueError("must be a date such as '2026-03-01T12:00:00Z'") from None
        return start

    @field_validator("later")
    @classmethod
    def _entries_differ(cls, later: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        names = [name for machine, entries in later.items() for name in (machine, *entries)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each entry has one place, but {listed(twice)} has several")
        return later


class SchedulingConfig(StrictModel):
    """A simulated clock for machines that are simulated, and which of them serves a client.

    A task waits for a queue time, and then takes ``job_seconds`` for each batch and ``execution_seconds`` for each
    execution: IBM's estimate of QPU time is 2 s + 0.00035 s × executions. ``queue`` holds for all machines but those of
    ``queues``. ``policy`` chooses the machine; ``replay`` lets calibrations change with time.
    """

    queue: Queue
    """Queue times of the machines."""
    queues: dict[str, Queue] = Field(default_factory=dict)
    """Those of single machines, by name."""
    job_seconds: _NaturalSeconds = 2.0
    """What a batch takes on a machine."""
    execution_seconds: Annotated[Number, Field(ge=0.0, le=1e4)] = 3.5e-4
    """What each execution takes."""
    policy: Policy = "assigned"
    """Which machine serves a client."""
    replay: Replay | None = None
    """Calibrations that change with time."""

    @model_validator(mode="after")
    def _rows_can_be_kept(self) -> "SchedulingConfig":
        traces = [queue.trace for queue in (self.queue, *self.queues.values()) if isinstance(queue, Trace)]
        if (rows := sum(map(len, traces))) > MOST_ROWS:
            raise ValueError(f"the traces have {rows:,} rows in all, but at most {MOST_ROWS:,} can be kept")
        return self

    @property
    def replayed(self) -> dict[str, str]:
        """The machine whose place an entry takes, by the entry's name."""
        later = self.replay.later if self.replay else {}
        return {name: machine for machine, entries in later.items() for name in entries}

    def check_machines(self, machines: set[str]) -> None:
        """Refuse names that are no machine of the clients, and a choice among one.

        Args:
            machines: Names of the backends that clients may have.

        Raises:
            ValueError: There are such.
        """
        if self.policy != "assigned" and len(machines) == 1:
            raise ValueError("scheduling.policy has no effect where all clients have the same machine")
        for key, names in (("queues", self.queues), ("replay.later", self.replay.later if self.replay else {})):
            for name in names:
                if name not in machines:
                    raise ValueError(
                        f"scheduling.{key} names {shown(name)}, which is no machine of the clients; those are "
                        f"{listed(sorted(machines))}"
                    )
        if machines <= self.queues.keys():
            raise ValueError("scheduling.queue has no effect where scheduling.queues names all machines of the clients")
        if taken := sorted(machines & self.replayed.keys()):
            raise ValueError(f"scheduling.replay.later names {listed(taken)}, which clients have from the start")
