"""The process that works for a node: it imports and compiles once, and ends with the SuperNode."""

import json
import logging
import os
import secrets
import sys
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener
from pathlib import Path

from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict

from qiskit_fedqml.flower.answering import Answering
from qiskit_fedqml.flower.client_app import ADDRESS

_LOOK_SECONDS = 0.5


def main() -> None:
    """Answer one message after another, until the process of Flower's that this one is for has ended."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("qiskit_fedqml").setLevel(logging.INFO)
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    answering, key = Answering(), secrets.token_bytes(32)
    with Listener(authkey=key) as listener:  # a socket in a folder that only this user may enter
        _announce(listener.address, key)
        while True:
            try:
                with listener.accept() as connection:
                    kind, config = json.loads(connection.recv_bytes())
                    records = recorddict_from_proto(ProtoRecordDict.FromString(connection.recv_bytes()))
                    answer = answering.answer(kind, config, records)
                    connection.send_bytes(recorddict_to_proto(answer).SerializeToString())
            except (AuthenticationError, EOFError, OSError) as error:  # nobody waits for the answer any more
                logging.getLogger(__name__).warning("A message was not answered: %s", error)


def _announce(address: object, key: bytes) -> None:
    """Say how this process can be reached, to whoever may read the node's own files."""
    part = ADDRESS.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump([address, key.hex()], file)
    part.replace(ADDRESS)


def _end_with(process: int) -> None:
    """End this process, whatever it is at, once another one has ended; jobs on devices live on in the journal."""
    while _is_alive(process):
        time.sleep(_LOOK_SECONDS)
    os._exit(0)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    status = Path(f"/proc/{process}/stat")  # where nobody has buried it, it is there, but dead
    return not status.exists() or status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"


if __name__ == "__main__":
    main()
