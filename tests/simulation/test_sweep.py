"""What the sweeps promise beside the right numbers: the same bits in threads, in chunks, and in other processes."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.paper import paper_circuit
from qiskit_fedqml.simulation import sweep
from qiskit_fedqml.simulation.active import ActiveCircuit
from qiskit_fedqml.simulation.exact import ExactProgram

NOISE = noise_from_rates((0.01, 0.03), (0.005, 0.01), (0.01, 0.04))


def paper_program(backend, num_samples, seed=0, **options):
    spec = paper_circuit(**options)
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(num_samples, spec.num_inputs))
    weights = np.broadcast_to(rng.normal(size=spec.num_weights), (num_samples, spec.num_weights))
    program = compile_program(backend, angles.circuit, angles.params, spec.observables)
    return program, angles.values(np.concatenate([inputs, weights], axis=1))


def assert_same_bits(one, other):
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.jacobian, other.jacobian)


@pytest.mark.parametrize(("noise", "shots"), [(None, None), (NOISE, None), (NOISE, 100)])
def test_chunks_and_threads_change_no_bit(monkeypatch, noise, shots):
    backend = AerBackend("b", noise, shots)
    program, points = paper_program(backend, 45)
    whole = backend.evaluate(program, points, jacobian=True, seed=1)
    monkeypatch.setattr(sweep, "_MOST_FILLED_UP", 1)  # the last five together
    assert_same_bits(whole, backend.evaluate(program, points, jacobian=True, seed=1))
    monkeypatch.setattr(sweep, "_THREADS_FROM", 1)
    for threads in (2, 7):
        monkeypatch.setenv("NUMBA_NUM_THREADS", str(threads))
        assert_same_bits(whole, backend.evaluate(program, points, jacobian=True, seed=1))


@pytest.mark.parametrize("start", range(8))
@pytest.mark.parametrize(("noise", "shots"), [(None, None), (NOISE, None), (NOISE, 100)])
def test_rooms_may_begin_anywhere_and_nothing_beside_them_is_touched(monkeypatch, noise, shots, start):
    backend = AerBackend("b", noise, shots)
    program, points = paper_program(backend, 13)
    expected = backend.evaluate(program, points, jacobian=True, seed=1)
    around, guard, room_of = [], np.pi, sweep._room

    def room(count):
        size = len(room_of(count))
        memory = np.full(size + 48, guard)
        first = -memory.ctypes.data // 8 % 8 + 8 + start  # so far behind the start of a cache line
        memory[first : first + size] = np.nan  # what is read before it is written shows
        around.append((memory, first, size))
        return memory[first : first + size]

    monkeypatch.setattr(sweep, "_room", room)
    assert_same_bits(expected, backend.evaluate(program, points, jacobian=True, seed=1))
    assert around
    for memory, first, size in around:
        assert (np.delete(memory, np.s_[first : first + size]) == guard).all()


def test_little_memory_changes_no_number(monkeypatch):
    backend = AerBackend("b", NOISE)
    program, points = paper_program(backend, 9)
    plenty = backend.evaluate(program, points, jacobian=True)
    monkeypatch.setattr(sweep, "MOST_NUMBERS", 1 << 12)  # observables are not kept, and samples swept one by one
    backend = AerBackend("b", NOISE)
    program, points = paper_program(backend, 9)
    little = backend.evaluate(program, points, jacobian=True)
    np.testing.assert_allclose(little.values, plenty.values, atol=1e-14)
    np.testing.assert_allclose(little.jacobian, plenty.jacobian, atol=1e-14)


def test_one_backend_in_many_threads():
    backend = AerBackend("b", NOISE, shots=50)
    program, points = paper_program(backend, 8)
    expected = [backend.evaluate(program, points, jacobian=True, seed=s) for s in range(12)]
    backend = AerBackend("b", NOISE, shots=50)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda s: backend.evaluate(program, points, jacobian=True, seed=s), range(12)))
    for one, other in zip(expected, found):
        assert_same_bits(one, other)


@pytest.mark.parametrize("noise", [None, NOISE])
def test_many_observables_are_swept_in_parts(monkeypatch, noise):
    observables = [SparsePauliOp(label) for label in ("ZZII", "IXXI", "IIYZ", "ZIIZ", "YIII")]
    circuit = paper_circuit().circuit
    weights_first = tuple(circuit.parameters)  # inputs enter by arctan: their shifts are not a gate's
    points = np.random.default_rng(0).normal(size=(3, 28))
    together = ExactProgram(circuit, weights_first, observables, noise, range(24))
    monkeypatch.setattr(ActiveCircuit, "observables_at_once", lambda self, base: 2)
    parts = ExactProgram(circuit, weights_first, observables, noise, range(24))
    assert (len(together._sweeps), len(parts._sweeps)) == (1, 3)
    for one, other in zip(together.evaluate(points, jacobian=True), parts.evaluate(points, jacobian=True)):
        np.testing.assert_allclose(one, other, atol=1e-14)


SCRIPT = """
import sys
{before}
from tests.simulation.test_sweep import NOISE, AerBackend, paper_program
backend = AerBackend("b", NOISE, shots=20)
program, points = paper_program(backend, 3)
evaluation = backend.evaluate(program, points, jacobian=True, seed=1)
from qiskit_fedqml.simulation import kernels
hits = sum(kernels.sweep_paulis.stats.cache_hits.values())
print(evaluation.values.tobytes().hex(), evaluation.jacobian.sum().hex(), hits, sep="\\n")
"""


def start(cache, before=""):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", SCRIPT.format(before=before)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return output.split()


@pytest.mark.slow
def test_processes_that_compile_at_once_and_then_find_the_machine_code(tmp_path):
    first, second = (finish(process) for process in [start(tmp_path), start(tmp_path)])
    assert first[:2] == second[:2]
    third = finish(start(tmp_path))
    assert third[:2] == first[:2]
    assert int(third[2]) == 1


@pytest.mark.slow
def test_where_no_cache_can_be_written(tmp_path):
    no_folder = "\n".join(
        [
            "import numba.core.caching as caching",
            "def refuse(self): raise OSError('read-only')",
            "caching._CacheLocator.ensure_cache_path = refuse",
        ]
    )
    without = finish(start(tmp_path, before=no_folder))
    assert without[:2] == finish(start(tmp_path))[:2]
    assert int(without[2]) == 0
