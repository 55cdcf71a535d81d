"""What the client library raises comes out as the package's own errors, in the package's own words."""

import json

import pytest
import requests
from ibm_cloud_sdk_core import ApiException
from qiskit.exceptions import QiskitError
from qiskit_ibm_runtime import exceptions as of_runtime
from qiskit_ibm_runtime.accounts import exceptions as of_accounts
from qiskit_ibm_runtime.api import exceptions as of_api

from qiskit_fedqml.backends.devices.machine import (
    BatchClosedError,
    ForbiddenError,
    MissingError,
    RateLimitedError,
    RefusedError,
    UnreachableError,
    UnreadableError,
)
from qiskit_fedqml.backends.ibm.errors import one_line, redacted, translate, translated
from qiskit_fedqml.backends.ibm.primitive import IBMPrimitive
from qiskit_fedqml.config.devices import IBMEntry
from qiskit_fedqml.errors import AccountLimitError, BackendError, FedQMLError

OURS = (FedQMLError, UnreachableError, RateLimitedError, BatchClosedError)
FOREIGN = sorted(
    {
        value
        for module in (of_runtime, of_accounts, of_api, requests.exceptions)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception) and not issubclass(value, Warning)
    }
    | {TypeError, AttributeError, KeyError, IndexError, ValueError, RuntimeError, RecursionError, MemoryError, OSError}
    | {AssertionError, NotImplementedError, StopIteration, TimeoutError, EOFError, OverflowError, ZeroDivisionError},
    key=lambda kind: kind.__name__,
)
MADE_FOR_USERS = (of_runtime.IBMInputValueError, of_accounts.AccountsError)


def raised(kind):
    text = "'NoneType' object is not subscriptable"
    return kind(text, "{", 0) if issubclass(kind, json.JSONDecodeError) else kind(text)


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("checks_input", [False, True])
def test_no_foreign_error_comes_through(kind, checks_input):
    def fail():
        raise raised(kind)

    with pytest.raises(OURS) as error:
        translated(fail, checks_input=checks_input)
    is_made_for_users = issubclass(kind, MADE_FOR_USERS) or (checks_input and issubclass(kind, QiskitError))
    assert is_made_for_users or "NoneType" not in str(error.value)
    assert error.value.__cause__ is error.value.__context__ is None, "it may hold the request with its headers"


def refused(status, body='{"errors": [{"message": "Because of the moon."}]}'):
    return of_runtime.IBMRuntimeError(f"Failed to run program: '{status} Client Error: X for url: http://x. {body}'")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (refused(400), BackendError, "the service refuses the request (400: Because of the moon)."),
        (refused(401), RefusedError, "the service refuses the account (401: Because of the moon)"),
        (refused(403, "<html>"), ForbiddenError, "the service refuses the account (403: Forbidden)"),
        (refused(404), MissingError, "the service knows nothing of it (404: Because of the moon)"),
        (refused(408, ""), UnreachableError, "the service is out of order (408: Request Timeout)"),
        (refused(429), RateLimitedError, "the service wants fewer requests (429: Because of the moon)"),
        (
            refused(409, '{"message": "Usage exceeds"}'),
            AccountLimitError,
            "limit is reached (409: Usage exceeds).",
        ),
        (refused(409), BackendError, "the service refuses the request (409: Because of the moon)."),
        (refused(503), UnreachableError, "the service is out of order (503: Because of the moon)"),
        (refused(522, ""), UnreachableError, "the service is out of order (522)"),
        (refused(400, "Session has been closed."), BatchClosedError, "the batch or session is closed"),
        (
            of_api.RequestsApiError("x", 500),
            UnreachableError,
            "service is out of order (500: Internal Server Error)",
        ),
        (requests.exceptions.SSLError(), UnreachableError, "no answer, since its certificate cannot be verified"),
        (requests.ReadTimeout(), UnreachableError, "the service gives no answer, since it takes too long"),
        (ConnectionResetError(), UnreachableError, "no answer, since the connection fails or breaks off"),
        (TypeError("x"), UnreadableError, "the service's answer cannot be read (TypeError)"),
    ],
)
def test_meaning_and_words(error, kind, text):
    translation = translate(error)
    assert type(translation) is kind
    assert str(translation).endswith(text)


def test_status_is_found_where_the_library_hides_it():
    def fail():
        try:
            raise of_api.RequestsApiError("x", 404)
        except of_api.RequestsApiError:
            raise of_runtime.IBMInputValueError("Session not found: x") from None

    with pytest.raises(MissingError):
        translated(fail)


def login_error(cause):
    error = of_accounts.InvalidAccountError("Unable to retrieve instances.")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "kind", "text"),
    [
        (ApiException(400, message="No such key."), RefusedError, "refuses the account's key (400: No such key)"),
        (ApiException(503, message="Later"), UnreachableError, "the identity service is out of order (503: Later)"),
        (ApiException(429, message="Slow"), RateLimitedError, "the identity service wants fewer requests (429: Slow)"),
        (requests.ConnectionError(), UnreachableError, "since the connection fails or breaks off"),
        (KeyError("x"), UnreadableError, "the identity service's answer cannot be read (KeyError)"),
        (None, BackendError, "the account's settings are not valid: Unable to retrieve instances."),
    ],
)
def test_wrong_key_and_identity_service_that_is_down_are_told_apart(cause, kind, text):
    translation = translate(login_error(cause))
    assert type(translation) is kind
    assert str(translation).endswith(text)


def test_invalid_token_is_not_quoted():
    text = "Invalid `token` value. Expected a non-empty string, got '12345'."
    assert "12345" not in str(translate(of_accounts.InvalidAccountError(text)))


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer SECRET-1",
        "Authorization: apikey SECRET-1",
        "apikey=SECRET-1&x=2",
        "{'apikey': 'SECRET-1'}",
        "got eyJhbGciOi.eyJTRUNSRVQtMQ.SECRET-1",
        "a SECRET-1 of the account",
    ],
)
def test_secrets_are_cut_out(text):
    assert "SECRET-1" not in redacted(text, "SECRET-1" if "account" in text else None)


def test_long_texts_are_cut():
    assert len(one_line("word " * 10_000)) <= 401


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"twirling": {"enable_gates": "perhaps"}},
            "refuses its options: twirling.enable_gates: Input",
        ),
        ({"nothing": 1}, "the estimator refuses its options: nothing: "),
    ],
)
def test_options_that_are_refused(options, message):
    pytest.importorskip("qiskit_ibm_runtime.executor_estimator")
    with pytest.raises(BackendError, match=message):
        IBMPrimitive(IBMEntry(type="ibm", device="FakeManilaV2", options=options))
