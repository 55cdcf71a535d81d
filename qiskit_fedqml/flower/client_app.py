"""The app that a SuperNode runs. Flower starts a process of its own for each message, so this one is light.

What takes seconds to import and to compile is kept in another process (:mod:`~qiskit_fedqml.flower.node_process`),
which the first message starts and which ends with the SuperNode.
"""

import json
import os
import subprocess
import sys
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict

from qiskit_fedqml.flower.masking import masked

PROGRAM = "qiskit_fedqml.flower.node_process"
ADDRESS = Path(".node-process.json")
"""Where the other process says how it can be reached; in the folder in which the SuperNode was started."""
_START_SECONDS = 300.0
_LOOK_SECONDS = 0.02

app = ClientApp()


@app.query()
def introduce(message: Message, context: Context) -> Message:
    """Say which client the node is."""
    return _answered(message, context)


@app.train()
def work(message: Message, context: Context) -> Message:
    """Run a task, or a stage of secure aggregation."""
    return masked(message, context, _answered)


def _answered(message: Message, context: Context) -> Message:
    with _connected() as connection:
        connection.send_bytes(json.dumps([message.metadata.message_type, context.node_config]).encode())
        connection.send_bytes(recorddict_to_proto(message.content).SerializeToString())
        records = recorddict_from_proto(ProtoRecordDict.FromString(connection.recv_bytes()))
    return Message(records, reply_to=message)


def _connected() -> "Connection[Any, Any]":
    """Connect to the process that works, which is started if it is not there."""
    connection = _connection()
    if connection is not None:
        return connection
    ADDRESS.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", PROGRAM, str(os.getppid())], stdin=subprocess.DEVNULL, start_new_session=True
    )
    until = time.monotonic() + _START_SECONDS
    while (connection := _connection()) is None:
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("the process that works for this node could not be started; its log says why")
        time.sleep(_LOOK_SECONDS)
    return connection


def _connection() -> "Connection[Any, Any] | None":
    try:
        address, key = json.loads(ADDRESS.read_text(encoding="utf-8"))
        return Client(address, authkey=bytes.fromhex(key))
    except (OSError, EOFError, ValueError, AuthenticationError):  # it is not there any more, or not yet
        return None
