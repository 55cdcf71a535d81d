"""Every error that the package raises by itself.

::

    FedQMLError
    ├── ConfigurationError   an experiment file, a backends file, or an option of theirs
    ├── CircuitError         a circuit that cannot be a quantum layer
    ├── BackendError         a backend that cannot be opened, or failed while it worked
    │   ├── JobError         a job on a device that failed, was cancelled, or cannot be reached
    │   └── NoBackendError   an object that cannot be a backend; a TypeError too
    ├── BudgetError          a job that would pass a budget of QPU seconds
    │   └── AccountLimitError    … what the account has left, which no budget of the run can change
    ├── DataError            a dataset, a partition or a feature extractor
    ├── TrainingError        a federation that cannot continue
    │   └── TimeLimitError       a client that trained for longer than it may
    └── ResultError          a result folder that is missing, in the way, or damaged

Foreign errors (Qiskit's, Aer's, torchvision's) are mapped to these once, where the foreign call is made. Only
:class:`~qiskit_fedqml.model.qnn.BroadcastEstimatorQNN` keeps qiskit-machine-learning's own errors for arguments of the
wrong shape, because it replaces ``EstimatorQNN``. Values in an error's text are cut by :func:`shortened`,
:func:`shown` and :func:`listed`.
"""

import itertools
import reprlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class FedQMLError(Exception):
    """Base of all errors of this package; its text is one sentence or two for the user."""


class ConfigurationError(FedQMLError, ValueError):
    """A configuration key, value or file is wrong."""


class CircuitError(FedQMLError, ValueError):
    """A circuit, its parameters or its observables cannot form a quantum layer."""


class BackendError(FedQMLError, RuntimeError):
    """A backend cannot be opened or cannot do what was asked of it."""


class JobError(BackendError):
    """A job on a device failed, was cancelled, or cannot be reached; backend, key and job id are in the text."""


class NoBackendError(BackendError, TypeError):
    """An object that was given as a backend cannot be one."""


class BudgetError(FedQMLError, RuntimeError):
    """A job would pass a budget of QPU seconds; nothing was sent, and the run can be resumed."""


class AccountLimitError(BudgetError):
    """A job would pass what the account has left of QPU seconds, which no budget of the run can change."""


class DataError(FedQMLError, ValueError):
    """Data, partitions or features are missing, malformed or inconsistent."""


class TrainingError(FedQMLError, RuntimeError):
    """Training cannot continue."""


class TimeLimitError(TrainingError):
    """A client of a simulator trained for longer than `federation.client_seconds`."""


class ResultError(FedQMLError, RuntimeError):
    """A result folder is missing, in the way, or damaged."""


SHORT = reprlib.Repr()
"""How values are written in errors, before they are cut."""
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 240
SHORT.maxlevel = 3


def shortened(text: str, most: int = 60) -> str:
    """Return a text, cut with "…" after so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def shown(value: object, short: reprlib.Repr = SHORT) -> str:
    """Return a value as Python writes it, cut after 60 characters; a large one is never written whole.

    Args:
        value: The value.
        short: Writes values in another way.
    """
    try:
        return shortened(short.repr(value))
    except ValueError:  # Python writes no whole number of more than some thousand digits
        return "a number of thousands of digits"


def listed(values: "Iterable[object]", most: int = 10) -> str:
    """Return values with commas between them, such as ``"a, b, … (7 more)"``.

    Args:
        values: Words, which stand without quotation marks, or anything else.
        most: So many are written at most.
    """
    rest = iter(values)
    words = [shortened(value) if isinstance(value, str) else shown(value) for value in itertools.islice(rest, most)]
    left = sum(1 for _ in rest)
    return ", ".join([*words, f"… ({left:,} more)"] if left else words)
