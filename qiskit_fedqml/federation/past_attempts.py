"""Attempts at a server step that are over, kept in the journal of jobs: a run that is resumed does not repeat them.

On devices a client that failed may well return the next time, so that an attempt of which too few had returned would
count after all, and the jobs of those after it would be paid for nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.job import JobReceipt, Usage
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.messages import ClientUpdate, Status


class PastAttempts:
    """The attempts of a run's server steps of which too few clients returned.

    Args:
        journal: The run's journal; None where clients do the same at each attempt, so that nothing has to be kept.
    """

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal

    def of(self, server_step: int) -> list[list[ClientUpdate]]:
        """Return what clients returned in each of them, without tensors.

        Raises:
            ResultError: The journal cannot be read, or is damaged.
        """
        if self._journal is None or (written := self._journal.recall(_name(server_step))) is None:
            return []
        try:
            return [[_update(values) for values in attempt] for attempt in json.loads(written)]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            what = f"its {_name(server_step)} cannot be read"
            raise ResultError(f"The journal {self._journal.name} is damaged: {what}.") from error

    def keep(self, server_step: int, attempts: Sequence[Sequence[ClientUpdate]]) -> None:
        """Keep all attempts at a server step so far; none lets it begin from the first one.

        Raises:
            ResultError: The journal cannot be written.
        """
        if self._journal:
            values = [[asdict(replace(update, state=None, client_states={})) for update in some] for some in attempts]
            self._journal.replace(_name(server_step), json.dumps(values))


def _name(server_step: int) -> str:
    return f"attempts at step {server_step}"


def _update(values: dict[str, Any]) -> ClientUpdate:
    """Make an update of its plain values."""
    receipts = tuple(JobReceipt(**receipt) for receipt in values["usage"]["receipts"])
    usage = Usage(**{**values["usage"], "receipts": receipts})
    return ClientUpdate(**{**values, "usage": usage, "status": Status(values["status"])})
