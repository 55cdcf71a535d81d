import shutil

import pytest

from qiskit_fedqml import run_federation
from tests.conftest import make_tiny
from tests.ledger.forging import SECRET

CHANGES = {
    "ledger": True,
    "federation__rounds": 3,
    "federation__clients_per_round": 3,
    "aggregation__server_optimizer": {"method": "fedadam"},
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run with a ledger; links 0 (begin), 1 to 3 (steps), 4 (end)."""
    folder = tmp_path_factory.mktemp("ledger") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qiskit_fedqml.ledger.keys.secrets.token_bytes", lambda n: SECRET)
        run_federation(make_tiny(**CHANGES), folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of it, which a test may change."""
    return shutil.copytree(finished, tmp_path / "run")
