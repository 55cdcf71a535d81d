"""What the documents say of a device's keys is what the configuration has."""

import re

import pytest
import yaml

from qiskit_fedqml.backends.devices.cost import MOST_JOBS_PER_MINUTE
from qiskit_fedqml.config.backends import BackendsFile
from qiskit_fedqml.config.blocks import Blocks
from qiskit_fedqml.config.devices import DeviceEntry, IBMEntry, ProviderEntry, Waiting
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / "backends.yaml").read_text(encoding="utf-8")


def rows(heading):
    """Return the first two columns of a table of the page."""
    table = PAGE.split(heading)[1].split("\n\n")[0].splitlines()[2:]
    return [(cells[1].strip(" `"), cells[2].strip()) for cells in (line.split("|") for line in table)]


@pytest.mark.parametrize(
    ("heading", "model", "own"),
    [
        ("| Key | Default | Meaning |\n", IBMEntry, {"type", "device", "waiting"}),
        ("| Key of `blocks` | Default | Meaning |\n", Blocks, set()),
        ("| Key of a provider's machine | Default | Meaning |\n", ProviderEntry, {"type", "factory"}),
        ("| Key of `waiting` | Default | Meaning, in seconds |\n", Waiting, set()),
    ],
)
def test_page_lists_each_key_with_its_default(heading, model, own):
    listed = dict(rows("\n" + heading[:-1]))
    shared = set(DeviceEntry.model_fields) if model is ProviderEntry else set()  # as in the table of IBM's devices
    assert set(listed) == set(model.model_fields) - shared - {"type"}
    for name, field in model.model_fields.items():
        if name not in own | shared:
            assert yaml.safe_load(listed[name]) == field.get_default(call_default_factory=True), name


def test_example_explains_each_key():
    explained = EXAMPLE.split("#   type: ibm")[1].split("# budget_seconds at")[0]
    for name in {*IBMEntry.model_fields, *ProviderEntry.model_fields, *Waiting.model_fields} - {"type"}:
        assert re.search(rf"\b{name}\b", explained), name
    defaults = {name: field.default for name, field in Waiting.model_fields.items()}
    assert yaml.safe_load(re.search(r"waiting +({.*?})", explained)[1]) == defaults


def test_example_on_the_page_is_a_backends_file():
    block, *_ = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    assert set(BackendsFile.model_validate(yaml.safe_load(block)).backends) == {"ideal", "kingston", "any", "tester"}


def test_number_of_jobs_a_minute():
    assert MOST_JOBS_PER_MINUTE == 5, "the page says five"


def test_retired_device_is_named_nowhere():
    for text in (PAGE, EXAMPLE, (ROOT / "experiments" / "rehearsal.yaml").read_text(encoding="utf-8")):
        assert "ibm_torino" not in text
