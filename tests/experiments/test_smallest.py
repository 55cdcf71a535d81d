"""Continuous integration runs every script at its smallest size; a script that has none would break unseen."""

import re

import pytest

from tests.conftest import ROOT

SCRIPTS = sorted(path.name for path in (ROOT / "experiments").glob("*.py"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_has_a_smallest_size(name):
    text = (ROOT / "experiments" / name).read_text(encoding="utf-8")
    assert '"--smallest"' in text or "ScriptParser(__file__, __doc__, smallest=" in text
    assert text.startswith('"""')


def test_continuous_integration_runs_every_script():
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"for script in experiments/\*\.py", text)
    assert "--smallest" in text
