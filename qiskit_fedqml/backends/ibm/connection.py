"""A login to IBM Quantum that is renewed where it expires, is refused, or gives no answer.

The library renews its access token by itself. Where the identity service is down at that moment it sends the request
without one, and the service answers 401; so does a token that was revoked. A new login mends both.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from qiskit_fedqml.backends.calibration import Calibration, calibration_of
from qiskit_fedqml.backends.devices.machine import (
    ForbiddenError,
    Memory,
    RateLimitedError,
    RefusedError,
    UnreachableError,
    UnreadableError,
)
from qiskit_fedqml.backends.devices.patience import Pauses
from qiskit_fedqml.backends.devices.watchdog import NoAnswerError, call_within
from qiskit_fedqml.backends.ibm.errors import translated
from qiskit_fedqml.config.devices import IBMEntry
from qiskit_fedqml.errors import BackendError

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_TRIES = 3
"""How often something is tried that never worked before: an account that has no access stays so."""


class Connection:
    """One backend's own service object and device; for one thread at a time.

    Args:
        name: The backend's name.
        entry: Its entry.
        memory: Keeps which device was the least busy one.
        on_login: Called after each login, when objects of an earlier one are of no use any more.

    Attributes:
        service: The library's service.
        device: The library's device.
        calibration: The calibration that was read last.
        token: The account's token, which no text may show.

    Raises:
        BackendError: There is no such account or device, or the service is out of reach.
    """

    def __init__(self, name: str, entry: IBMEntry, memory: Memory, on_login: Callable[[], None]) -> None:
        self._name, self._entry, self._memory, self._on_login = name, entry, memory, on_login
        self.service: Any = None
        self.device: Any = None
        self.calibration: Any = None
        self.token: str | None = None
        self._worked: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._open()

    def ask(self, what: str, question: Callable[[], Answer]) -> Answer:
        """Ask the service; where it refuses the login, log in again and ask once more.

        Args:
            what: The kind of request, as errors name it.
            question: Asks; it may be called twice.

        Raises:
            UnreachableError: There is no answer, none that can be read, or a refusal, also after a new login.
            RateLimitedError: The service wants fewer requests.
            BackendError: The request is wrong; or the service refused this kind of request from the beginning.
        """
        try:
            return self._once(what, question)
        except ForbiddenError:
            raise
        except RefusedError:
            return self._once(what, question)

    def send(self, what: str, question: Callable[[], Answer]) -> Answer:
        """Send what must not be sent twice; after a refusal the next request begins with a new login.

        Raises:
            UnreachableError: As :meth:`ask`; whether it was accepted is unknown.
            RateLimitedError: The service wants fewer requests.
            BackendError: What was sent is wrong; or the service never took one.
        """
        return self._once(what, question, is_sent=True)

    def _once(self, what: str, question: Callable[[], Answer], *, is_sent: bool = False) -> Answer:
        try:
            if self.service is None:
                self._renew()
            answer = self._within(question, checks_input=is_sent)
        except (RefusedError, UnreadableError) as error:
            if isinstance(error, RefusedError) and not isinstance(error, ForbiddenError):
                self.service = None
            if isinstance(error, RefusedError) or is_sent:
                self._count_failure(what, error)
            raise
        self._worked.add(what)
        self._failures[what] = 0
        return answer

    def _count_failure(self, what: str, error: Exception) -> None:
        """Stop trying what never worked; what worked before is waited for."""
        self._failures[what] += 1
        if what not in self._worked and self._failures[what] >= _TRIES:
            self._failures[what] = 0
            raise BackendError(f"{error}, {_TRIES} times in a row, when it was asked to {what}.") from None

    def _open(self) -> None:
        """Log in for the first time; a wrong key and a service that is down for a moment can look alike."""
        pauses = Pauses(self._entry.waiting.outage_seconds)
        for attempt in range(1, _TRIES + 1):
            try:
                self._log_in()
                return
            except (UnreachableError, RateLimitedError) as error:
                pause = pauses.next()
                if attempt == _TRIES or pause is None:
                    raise BackendError(f"the service cannot be opened: {error}.") from None
                time.sleep(pause)

    def _renew(self) -> None:
        """Log in again; since that has worked before, whatever goes wrong now may pass."""
        logger.info("Backend %r: logging in to IBM Quantum again", self._name)
        try:
            self._log_in()
        except (RefusedError, BackendError) as error:
            raise UnreachableError(f"a new login fails: {str(error).rstrip('.')}") from None

    def _log_in(self) -> None:
        self.service, self.device, self.calibration = self._within(self._logged_in)
        self._on_login()

    def _logged_in(self) -> tuple[Any, Any, Calibration]:
        """Return service, device and calibration, with all that the library reads only when it is asked for."""
        from qiskit.providers.exceptions import QiskitBackendNotFoundError
        from qiskit_ibm_runtime import QiskitRuntimeService

        entry = self._entry
        account = {"name": entry.account, "instance": entry.instance, "channel": entry.channel}
        service = QiskitRuntimeService(**{key: value for key, value in account.items() if value is not None})
        self.token = (service.active_account() or {}).get("token")
        try:
            device = self._find_device(service)
        except QiskitBackendNotFoundError:  # also where the service cannot list its devices for a moment
            service.usage()  # raises where the service does not answer, or refuses the account
            wanted = repr(entry.device) if isinstance(entry.device, str) else entry.device.model_dump_json()
            raise UnreachableError(f"there is no device {wanted}, or the service cannot list it") from None
        calibration = calibration_of(device)
        _ = device.target
        return service, device, calibration

    def _find_device(self, service: Any) -> Any:
        """Return the entry's device; of the least busy ones the one that the run began with."""
        entry, fact = self._entry, f"device of {self._name}"
        if isinstance(entry.device, str):
            return service.backend(entry.device)
        if kept := self._memory.recall(fact):
            return service.backend(kept)
        wanted = entry.device.least_busy

        def fits(device: Any) -> bool:
            family = (device.configuration().to_dict().get("processor_type") or {}).get("family")
            return wanted.processor is None or family == wanted.processor

        device = service.least_busy(min_num_qubits=wanted.min_qubits, operational=True, simulator=False, filters=fits)
        self._memory.remember(fact, device.name)
        return device

    def _within(self, question: Callable[[], Answer], *, checks_input: bool = False) -> Answer:
        """Ask for as long as a request may take: the library sets no limit to how long it reads an answer."""

        def ask() -> Answer:
            return call_within(self._entry.waiting.request_seconds, question, f"IBM Quantum: {self._name}")

        try:
            return translated(ask, self.token, checks_input=checks_input)
        except NoAnswerError as error:
            _cut_off(self.service)
            self.service = None
            raise UnreachableError(f"the service gives {error}") from None


def _cut_off(service: Any) -> None:
    """Let the thread that was left behind with a request send no further one; a job, above all.

    The library has no public way to do that. Where this fails, a job that is sent late is found by its tag.
    """
    from requests.adapters import HTTPAdapter

    class Refusing(HTTPAdapter):
        def send(self, *_: Any, **__: Any) -> Any:
            raise ConnectionError("this connection was given up")

    with suppress(Exception):
        for client in service._get_api_clients().values():
            client._session.mount("https://", Refusing())
            client._session.mount("http://", Refusing())
