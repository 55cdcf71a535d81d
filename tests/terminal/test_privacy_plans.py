"""`fedqml privacy`."""

import json

import pytest
import yaml

from qiskit_fedqml.privacy.accountant import Accountant
from tests.conftest import TINY


@pytest.fixture
def file(tmp_path):
    clients = {"noise_multiplier": 1.2, "max_norm": 0.3}
    federation = TINY["federation"] | {"rounds": 30, "on_client_failure": "skip"}
    section = {"delta": 1e-3, "epsilon": 3.0, "randomness": "simulated", "clients": clients}
    values = TINY | {"federation": federation, "aggregation": {"weights": "uniform"}, "privacy": section}
    (tmp_path / "private.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "private.yaml"


def test_rounds_the_ceiling_and_the_noise_are_printed(fedqml, file):
    code, out, err = fedqml("privacy", file, "--epsilon", "1.5", "--rounds", "20")
    assert (code, err) == (0, "")
    accountant = Accountant(1.2, 0.5, 1e-3)
    last = next(n for n in range(1, 20) if accountant.epsilon(n + 1) > 3)
    assert "takes part in a round with probability 0.5; noise multiplier 1.2, δ = 0.001." in out
    assert "nobody is protected" in out
    assert f"| 10    | {accountant.epsilon(10):<5.4g} |" in out
    assert f"ends the run after round {last}." in out
    noise = float(out.rpartition("noise_multiplier=")[2].partition(")")[0])
    assert 1.49 < Accountant(noise, 0.5, 1e-3).epsilon(20) <= 1.5


def test_the_same_as_json(fedqml, file):
    code, out, _ = fedqml("privacy", file, "--json", "-")
    found = json.loads(out)
    assert code == 0
    assert found["rounds"][-1] == {"round": 30, "steps": 30, "epsilon": Accountant(1.2, 0.5, 1e-3).epsilon(30)}
    assert (found["protects"], found["ceiling"], found["randomness"]) == ("clients", 3.0, "simulated")
    assert "wanted" not in found


def test_an_adaptive_norm_may_be_too_exact_for_the_noise(fedqml, file):
    adaptive = ("--set", "privacy.clients.adaptive.count_noise=1.0")
    assert "count_noise above" in fedqml("privacy", file, *adaptive, "--epsilon", "0.5")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epsilon", "0"), "--epsilon must be a number above 0, but got 0."),
        (("--epsilon", "nan"), "--epsilon must be a number above 0, but got nan."),
        (("--set", "privacy=null"), "has no section `privacy`"),
        (("--overwrite",), "--overwrite has no effect without --json FILE."),
    ],
)
def test_what_makes_no_sense_is_refused(fedqml, file, arguments, message):
    code, _, err = fedqml("privacy", file, *arguments)
    assert code == 2
    assert message in err
