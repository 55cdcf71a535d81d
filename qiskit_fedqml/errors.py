"""Every error that the package raises by itself.

::

    FedQMLError
    ├── ConfigurationError   an experiment file, a backends file, or an option of theirs
    ├── CircuitError         a circuit that cannot be a quantum layer
    ├── BackendError         a backend that cannot be opened, or failed while it worked
    │   └── JobError         a job on a device that failed, was cancelled, or cannot be reached
    ├── BudgetError          a job that would pass a budget of QPU seconds
    │   └── AccountLimitError    … what the account has left, which no budget of the run can change
    ├── DataError            a dataset, a partition or a feature extractor
    ├── TrainingError        a federation that cannot go on
    └── ResultError          a result folder that is missing, in the way, or damaged

Foreign errors (Qiskit's, Aer's, torchvision's) are mapped to these once, where the foreign call is made. Only
:class:`~qiskit_fedqml.model.qnn.BroadcastEstimatorQNN` keeps qiskit-machine-learning's own errors for arguments of the
wrong shape, because it stands in for ``EstimatorQNN``.
"""


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


class BudgetError(FedQMLError, RuntimeError):
    """A job would pass a budget of QPU seconds; nothing was sent, and the run can be resumed."""


class AccountLimitError(BudgetError):
    """A job would pass what the account has left of QPU seconds, which no budget of the run can change."""


class DataError(FedQMLError, ValueError):
    """Data, partitions or features are missing, malformed or inconsistent."""


class TrainingError(FedQMLError, RuntimeError):
    """Training cannot go on."""


class ResultError(FedQMLError, RuntimeError):
    """A result folder is missing, in the way, or damaged."""
