"""Circuits as they are drawn, and the errors of chips."""

import dataclasses

import pytest

from qiskit_fedqml.circuits.paper import paper_circuit
from qiskit_fedqml.report.circuit_drawings import circuit_drawings, plain_text
from qiskit_fedqml.report.drawing import panel_files, style
from qiskit_fedqml.report.error_maps import error_map_panels, error_maps
from qiskit_fedqml.report.inline import inline_svg
from qiskit_fedqml.report.programs import compiled_circuits, designed_circuits
from qiskit_fedqml.report.used_circuits import Designed


@pytest.fixture(autouse=True)
def drawn_as_on_the_page():
    with style():
        yield


def test_circuits_are_drawn_as_designed_and_as_transpiled(run, tmp_path):
    pytest.importorskip("pylatexenc", reason="Qiskit draws circuits with it")
    compiled = compiled_circuits({"A": run})
    assert {one.machine for one in compiled} == {"manila", "stated"}
    found = circuit_drawings(designed_circuits({"A": run}), compiled, 1)
    assert [panel.title for panel in found.panels] == [
        "The circuit as designed",
        *(f"Transpiled for {one.machine}" for one in compiled),
    ]
    texts = {text.get_text() for panel in found.panels for text in panel.axis.texts}
    assert not any("$" in text or "\\" in text for text in texts)
    assert "currentColor" in inline_svg(found.panels[0])
    assert all(panel_files(found.panels[1], tmp_path).values())


def test_a_circuit_that_is_too_large_is_left_out_with_a_sentence():
    spec = paper_circuit()
    large = spec.circuit.copy()
    for _ in range(100):
        large.h([0, 1, 2])
    found = circuit_drawings([Designed(dataclasses.replace(spec, circuit=large), ("B",))], [], 2)
    assert not found.panels
    assert found.left_out == [
        f"The circuit as designed; in B: {len(large.data)} gates on 4 qubits, too many to be drawn here."
    ]


def test_labels_have_no_latex():
    assert plain_text(r"$\mathrm{R_Z}$") == "RZ"
    assert plain_text(r"$\mathrm{\sqrt{X}}$") == "√X"
    assert plain_text(r"$-$$\pi$/2") == "-π/2"
    assert plain_text(r"${q}_{0}\;\mapsto\;{1}$") == "q0  ↦  1"
    assert plain_text("my_weight[0]") == "my_weight[0]"


def test_the_chip_of_a_simulated_device_shows_errors_and_what_is_used(run):
    (drawn,) = error_maps(compiled_circuits({"A": run}))
    assert (drawn.machine, drawn.chip.num_qubits, len(drawn.chip.couplings)) == ("manila", 5, 4)
    assert set(drawn.readout) == set(range(5))
    assert set(drawn.couplings) == set(drawn.chip.couplings)
    assert len(drawn.used_qubits) == 2
    assert set(drawn.used_couplings) <= set(drawn.chip.couplings)
    (panel,) = error_map_panels([drawn], 1)
    assert panel.note.startswith("The circuit uses 2 of 5 qubits and 1 of 4 couplings.")
    qubit = drawn.used_qubits[0]
    assert panel.marks[qubit].text == f"Qubit {qubit}, used: readout error {drawn.readout[qubit]:.3%}"
    assert {text.get_text() for text in panel.axis.texts} == set("01234")
