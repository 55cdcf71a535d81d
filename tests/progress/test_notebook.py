"""A notebook in a real kernel of IPython: what its cells show while a run goes, and of what it gives."""

import pytest

from tests.conftest import TINY

CODE = f"""
from qiskit_fedqml import Experiment, run_federation
experiment = Experiment.model_validate({TINY!r})
result = run_federation(experiment)
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Execute a notebook and return the outputs of each cell."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    sources = [CODE, "quiet = run_federation(experiment, progress=False)", "experiment", "result", "result.plot()"]
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # for the kernel, which is a process of its own
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    resources = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    nbclient.NotebookClient(notebook, timeout=400, resources=resources).execute()
    monkeypatch.undo()
    return [cell.outputs for cell in notebook.cells]


@pytest.mark.slow
def test_bars_are_shown_by_default_and_stay(cells):
    output, size = cells[0]
    assert "trained parameters" in size.data["text/plain"]
    assert output.output_type == "display_data"
    html = output.data["text/html"]
    assert "run: rounds" in html
    assert "2/2" in html
    assert "accuracy" in html


@pytest.mark.slow
def test_nothing_is_shown_where_that_is_asked_for(cells):
    assert cells[1] == []


@pytest.mark.slow
def test_values_show_themselves(cells):
    experiment, result, figure = (outputs[0].data for outputs in cells[2:])
    assert "<table>" in experiment["text/html"]
    assert experiment["text/plain"].startswith("<Experiment: digits; 4 clients")
    assert "2 of 2 rounds" in result["text/html"]
    assert len(figure["image/png"]) > 1000
