import pytest

from qiskit_fedqml import BackendRegistry
from tests.conftest import make_tiny

ARRAY = {
    "backends": {
        "ideal": {"type": "aer"},
        "manila": {"type": "aer", "noise": "FakeManilaV2", "noise_factor": 2.0, "shots": 64},
        "stated": {"type": "aer", "noise": {"readout": 0.1}},
        "fez": {"type": "ibm", "device": "ibm_fez", "account": "my-account", "instance": "crn:v1:secret"},
    },
    "assignment": {"default": {"cycle": ["manila", "stated"]}, "clients": {"0-1": "ideal"}},
}


def test_experiment_is_one_line():
    experiment = make_tiny(backends=ARRAY)
    line = "<Experiment: digits; 4 clients, 2 a round; 2 rounds; on ideal, manila, stated; seed 5>"
    assert str(experiment) == repr(experiment) == line


def test_notebook_shows_settings_and_machines_without_account():
    html = make_tiny(backends=ARRAY, model__hidden=[7])._repr_html_()
    for text in (
        "hidden: [7]",
        "FakeManilaV2 × 2",
        "stated rates",
        "ibm_fez",
        "server, clients 0-1",
        "clients in turn",
    ):
        assert f"{text}" in html
    assert "my-account" not in html
    assert "secret" not in html
    assert "optimizer" not in html, "it is the default"


def test_registry_is_one_line_and_opens_nothing():
    registry = BackendRegistry.from_mapping(ARRAY)
    assert repr(registry) == "<BackendRegistry: ideal, manila (FakeManilaV2 × 2), stated (stated rates), fez (ibm_fez)>"
    assert "secret" not in registry._repr_html_()
    assert registry.opened() == []


@pytest.mark.parametrize("count", [7, 200])
def test_many_machines_are_counted(count):
    array = {"backends": {f"b{i}": {"type": "aer"} for i in range(count)} | {"ideal": {"type": "aer"}}}
    registry = BackendRegistry.from_mapping(array)
    assert repr(registry).endswith(f"and {count - 4} more>")
    assert registry._repr_html_().count("<tr>") <= 22


def test_text_is_escaped():
    experiment = make_tiny(model__initial="<script>alert(1)</script>")
    assert "<script>" not in experiment._repr_html_()
    assert "&lt;script&gt;" in experiment._repr_html_()
