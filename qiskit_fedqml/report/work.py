"""A piece of work of a run, as timelines show it."""

from dataclasses import dataclass

SERVER = "server"


@dataclass(frozen=True)
class Bar:
    """A piece of work.

    Args:
        round: The round, or the server step that took the update.
        lane: The machine, or the server.
        start_seconds: After the run's start; breaks between rounds are not known, and left out.
        seconds: How long it took.
        text: What it was, in words.
        is_used: Whether something came of it.
        entry: The entry of the backends file that stood for the machine.
        waited_seconds: How long its task was in the machine's queue before, on a simulated clock.
        staleness: That of the update.
        step_word: What the run's rounds are called.
    """

    round: int
    lane: str
    start_seconds: float
    seconds: float
    text: str
    is_used: bool = True
    entry: str = SERVER
    waited_seconds: float = 0.0
    staleness: int = 0
    step_word: str = "round"

    @property
    def end_seconds(self) -> float:
        """When it ended, after the run's start."""
        return self.start_seconds + self.seconds
