"""Loops are compiled when a layer is made on a simulator, and so are no time of the client that comes first."""

import subprocess
import sys

import pytest

SCRIPT = """
from numba.core.dispatcher import Dispatcher

needed, original = [], Dispatcher._compile_for_args

def compiling(self, *args, **options):
    needed.append(self.py_func.__name__)
    return original(self, *args, **options)

Dispatcher._compile_for_args = compiling
import sys
from qiskit_fedqml import run_federation
from tests.conftest import make_tiny

class Watching:
    def __init__(self):
        self.before = []
    def round_started(self, *_):
        self.before.append(len(needed))
    def __getattr__(self, name):
        return lambda *_: None

watching = Watching()
experiment = make_tiny(federation__rounds=3, backends=eval(sys.argv[1]))
result = run_federation(experiment, observer=watching)
print(watching.before, needed)
print([client.seconds for record in result.rounds for client in record.clients])
"""


@pytest.mark.slow
@pytest.mark.parametrize("shots", [None, 64])
def test_loops_are_compiled_before_clients_are_timed(shots):
    backends = {"backends": {"ideal": {"type": "aer"}}}
    if shots:
        backends["backends"]["m"] = {"type": "aer", "noise": "FakeManilaV2", "shots": shots}
        backends["assignment"] = {"default": "m"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, repr(backends)], capture_output=True, text=True, check=True, timeout=400
    )
    counts, needed = done.stdout.splitlines()[0].split("] ", 1)
    first, second, third = map(int, counts.strip("[").split(","))
    assert first >= 3, "the server's loops, before the first round"
    assert second == third
    if not shots:
        assert first == second, needed
