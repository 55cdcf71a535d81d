import pytest

from qiskit_fedqml.config.own_data import PythonData
from qiskit_fedqml.data.made import made
from qiskit_fedqml.errors import ConfigurationError, DataError
from tests.own_parts import own_data


def failing(kind="ValueError"):
    raise {"ValueError": ValueError, "KeyError": KeyError}[kind]("the server is down")


def nothing():
    return own_data(), [], []


def test_a_function_makes_the_data():
    dataset = made(PythonData(python="tests.own_parts:own_data", arguments={"is_divided": False}))
    assert len(dataset.train) == 54
    assert dataset.owners is None


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "message"),
    [
        ("failing", {}, DataError, "'tests.data.test_made:failing' raised ValueError: the server is down"),
        ("failing", {"kind": "KeyError"}, DataError, "raised KeyError: 'the server is down'"),
        ("failing", {"sort": 1}, ConfigurationError, "does not take these arguments"),
        ("missing", {}, ConfigurationError, "cannot be imported"),
        ("nothing", {}, DataError, r"`data` of 'tests.data.test_made:nothing': `data` must be \(clients, test\)"),
    ],
)
def test_what_goes_wrong_names_the_function(name, arguments, kind, message):
    with pytest.raises(kind, match=message):
        made(PythonData(python=f"tests.data.test_made:{name}", arguments=arguments))
