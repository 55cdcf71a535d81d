"""The QPU time that an instance has used and may use."""

from dataclasses import dataclass, field
from threading import Lock


@dataclass
class UsageAccount:
    """The instance's QPU seconds; `limit_seconds` is None for an instance without a limit."""

    consumed_seconds: float = 0.0
    limit_seconds: float | None = 36_000.0
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def limit_reached(self) -> bool:
        return self.limit_seconds is not None and self.consumed_seconds >= self.limit_seconds

    def charge(self, seconds: float) -> None:
        with self._lock:
            self.consumed_seconds += seconds

    def answer(self) -> dict:
        """Return the body of GET /instances/usage."""
        body = {
            "usage_consumed_seconds": self.consumed_seconds,
            "usage_limit_reached": self.limit_reached,
            "usage_period": {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-29T00:00:00Z"},
        }
        if self.limit_seconds is not None:
            body["usage_limit_seconds"] = self.limit_seconds
        return body
