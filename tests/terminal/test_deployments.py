import sys

import pytest

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.terminal.deployments import write_deployment
from tests.conftest import make_tiny


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("qiskit_fedqml.flower.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ConfigurationError, match=r"needs cryptography; install it by `pip install"):
        write_deployment(make_tiny(), tmp_path / "d", "localhost", 60.0, shards=False)
    assert not (tmp_path / "d").exists()
