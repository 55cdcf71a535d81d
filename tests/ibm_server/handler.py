"""The HTTP side: reading requests, applying faults, sending answers."""

import socket
import traceback
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.ibm_server.answers import Answer, Request, refusal
from tests.ibm_server.faults import Fault

PREFIX = "/experimental/api/v1"
"""The client library leaves a URL alone only if it contains "experimental"."""


class Handler(BaseHTTPRequestHandler):
    """One connection; `self.server.owner` is the test's server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it would cost 40 ms for every call
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.server.owner.connections.add(self.connection)

    def finish(self) -> None:
        self.server.owner.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with suppress(OSError):  # the client is gone, or a test ended the connection
            super().handle()

    def log_message(self, *args) -> None:
        """Log nothing: headers hold access tokens."""

    def _serve(self) -> None:
        owner = self.server.owner
        parts = urlsplit(self.path)
        path = parts.path.removeprefix(PREFIX)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionResetError("The client went away in the middle of its request.")
        request = Request(self.command, path, self.headers, parts.query, body)
        owner.requests.append((request.method, path))
        if (request.method, path) == ("POST", "/jobs"):
            owner.store.note_post(body)
        fault = owner.faults.take(f"{request.method} {path}")
        if fault is None:
            self._send(self._carry_out(request))
        else:
            self._misbehave(fault, request)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _carry_out(self, request: Request) -> Answer:
        try:
            return self.server.owner.routes.answer(request)
        except Exception:
            self.server.owner.errors.append(traceback.format_exc())
            # 501 is a status that the client does not try again.
            return refusal(501, 1000, "The test server has an error of its own: see its `errors`.")

    def _misbehave(self, fault: Fault, request: Request) -> None:
        if fault.kind == "call" and not fault.processed:
            fault.function()
        carry_out = fault.processed or fault.kind in {"call", "edit"}
        answer = self._carry_out(request) if carry_out else None
        if fault.kind == "call" and fault.processed:
            fault.function()
        if fault.kind == "drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault.kind == "answer":
            body = fault.body
            self._send(
                refusal(fault.status, fault.status, "As asked for.") if body is None else Answer(fault.status, body)
            )
        elif fault.kind == "edit":
            self._send(Answer(answer.status, fault.function(answer.content.decode())))
        else:
            self._send(answer, fault if fault.kind == "stall" else None)

    def _send(self, answer: Answer, stall: Fault | None = None) -> None:
        content = answer.content
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        sent = 0
        if stall is not None:
            sent = int(len(content) * stall.part)
            self.wfile.write(content[:sent])
            self.wfile.flush()
            self.server.owner.stopped.wait(stall.seconds)
        self.wfile.write(content[sent:])
        self.wfile.flush()
        if answer.delivered is not None:
            answer.delivered()
