"""What is made of an object of the user's own: the backend that it is, or can be made into."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from qiskit.primitives import BaseEstimatorV2
from qiskit.providers import BackendV2
from qiskit_aer.noise import NoiseModel

from qiskit_fedqml.backends.base import Backend, QueuedBackend
from qiskit_fedqml.backends.broadcast import EstimatorBackend, foreign_errors, holds_connection
from qiskit_fedqml.backends.providers.errors import said
from qiskit_fedqml.backends.providers.halves import precision_of
from qiskit_fedqml.backends.providers.local import LocalBackend
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.backends.simulated.models import is_ibms_device, noise_digest, simulated_machine
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.parts import find_part, reference_to
from qiskit_fedqml.errors import BackendError, NoBackendError, shown

_KINDS = (NoiseModel, BackendV2, BaseEstimatorV2)
Given = Mapping[str, object]
"""Objects of the user's own, or functions that make them, by the names of the backends that they are."""

_FINDERS = ("retrieve_job", "restore_job")
"""Methods that find a job again: only backends with a queue have them."""


def backend_of(name: str, thing: object, shots: int | None = None) -> Backend:
    """Return an object of the user's own as a backend.

    Args:
        name: The backend's name.
        thing: A backend of this package's protocol; a ``BackendV2`` or an ``EstimatorV2`` of Qiskit without a queue; or
            a noise model of Aer.
        shots: Shots of each circuit; None leaves them to the object.

    Raises:
        NoBackendError: It is none of these.
        BackendError: Its jobs would wait in a queue, it has another number of shots, or its noise cannot be simulated.
    """
    if has_queue(thing):
        raise BackendError(
            f"Backend {name!r}: {_class_of(thing)} may have a queue, whose jobs must be found again when a run is "
            "resumed: give the function that opens it, or name that in an entry "
            "`{type: backend, factory: 'module:function'}`; IBM's devices are entries of type ibm."
        )
    if isinstance(thing, BackendV2 | NoiseModel):
        if (simulated := simulated_machine(thing, shots)) is not None:
            return AerBackend(name, simulated.noise, simulated.shots)
        assert isinstance(thing, BackendV2)  # of a noise model there is always a simulated machine
        return LocalBackend(name, thing, shots)
    if isinstance(thing, BaseEstimatorV2):
        machine = _machine_of(thing)
        if machine is not None:
            return LocalBackend(name, machine, shots, thing)
        return EstimatorBackend(thing, None if shots is None else precision_of(shots), name)
    if isinstance(thing, type) or not isinstance(thing, Backend):
        raise no_backend(name, thing)
    if shots is not None and thing.shots != shots:
        raise BackendError(
            f"Backend {name!r} has {thing.shots or 'no'} shots of its own, not the {shots} of its entry."
        )
    return thing


def is_maker(thing: object) -> bool:
    """Return whether something makes a backend, and is none; Qiskit's own classes are objects that were forgotten."""
    if isinstance(thing, type):
        return not issubclass(thing, _KINDS)
    return isinstance(thing, PythonReference | partial) or (callable(thing) and not is_backend(thing))


def unwrapped(name: str, thing: Any) -> object:
    """Return an object as it is, and of a function what it makes.

    Raises:
        ConfigurationError: The function has no name by which it is found again.
        FedQMLError: As :func:`made_by`.
    """
    return made_by(reference_to(thing, f"backends[{name!r}]"), name) if is_maker(thing) else thing


def is_backend(thing: object) -> bool:
    """Return whether an object is, or can be made into, a backend, perhaps one with a queue; classes are none."""
    if isinstance(thing, tuple) and len(thing) == 2:
        return isinstance(thing[0], BackendV2) and isinstance(thing[1], BaseEstimatorV2)
    return not isinstance(thing, type) and isinstance(thing, (*_KINDS, Backend))


def has_queue(thing: object) -> bool:
    """Return whether an object's jobs may wait in a queue elsewhere.

    They may where it holds a connection, finds jobs again by their ids, or is the pair of a backend and its estimator
    that providers give.
    """
    if isinstance(thing, tuple):
        return is_backend(thing)
    if isinstance(thing, type) or not isinstance(thing, (*_KINDS, QueuedBackend)):
        return False
    if isinstance(thing, BaseEstimatorV2) and has_queue(_machine_of(thing)):
        return True
    if isinstance(thing, BackendV2) and (is_ibms_device(thing) or any(hasattr(thing, name) for name in _FINDERS)):
        return True
    return isinstance(thing, QueuedBackend) or holds_connection(thing)


def no_backend(name: str, thing: object, maker: str = "") -> NoBackendError:
    """Return the error that an object cannot be a backend.

    Args:
        name: The backend's name.
        thing: The object.
        maker: What has made it, in words.
    """
    what = _class_of(thing)
    if isinstance(thing, type):
        what = f"the class {thing.__name__}; an object of it may be what is meant"
    elif isinstance(thing, str | int | float | dict | list):
        what = f"{what}, {shown(thing)}"
    return NoBackendError(
        f"Backend {name!r} must be a BackendV2 or an EstimatorV2 of Qiskit, a NoiseModel of Aer, an object of this "
        f"package's protocol Backend, or a function that makes one of these, but {maker or 'it'} is {what}."
    )


def made_by(reference: PythonReference, name: str) -> Any:
    """Return what a function or class of the user's own makes.

    Args:
        reference: Its name and arguments.
        name: The backend's name.

    Raises:
        ConfigurationError: It cannot be found.
        NoBackendError: What it makes cannot be a backend.
        BackendError: It fails.
    """
    function = find_part(reference, f"backends.{name}.python")
    try:
        made = function(**reference.arguments)
    except Exception as error:  # anyone's code, which may raise anything
        failure = BackendError(f"Backend {name!r}: {reference.python!r} fails ({said(error)}).")
    else:
        if not is_backend(made):
            raise no_backend(name, made, f"what {reference.python!r} returns")
        return made
    raise failure  # without the library's error, which may hold secrets


def described(backend: Backend) -> dict[str, Any]:
    """Return what a backend says of itself, as JSON's values; with a digest of noise that is simulated here."""
    with foreign_errors(f"Backend {backend.name!r} describes itself, and"):
        facts = dict(backend.describe())
    if isinstance(backend, EstimatorBackend):
        facts["seed"] = "its own"
    if isinstance(backend, AerBackend) and backend.noise is not None:
        facts["noise_digest"] = noise_digest(backend.noise)
    text = json.dumps(facts, default=lambda value: type(value).__name__)
    plain: dict[str, Any] = json.loads(text, parse_constant=str)
    return plain


def class_of(thing: object) -> str:
    """Return an object's class, ``"package.module.Class"``."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _class_of(thing: object) -> str:
    return f"an object of type {type(thing).__name__}"


def _machine_of(estimator: BaseEstimatorV2) -> BackendV2 | None:
    """Return the ``BackendV2`` that an estimator runs on, where it says it."""
    found = getattr(estimator, "backend", None)
    if callable(found) and not isinstance(found, BackendV2):
        with foreign_errors(f"Estimator {type(estimator).__name__}"):
            found = found()
    return found if isinstance(found, BackendV2) else None
