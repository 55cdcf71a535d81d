import pytest

from qiskit_fedqml.config.backends import AerEntry, BackendsFile
from qiskit_fedqml.config.devices import IBMEntry
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError

NOISY = {"type": "aer", "noise": "FakeManilaV2"}
FAKE = {"type": "ibm", "device": "FakeManilaV2"}


@pytest.mark.parametrize("entry", [NOISY, FAKE])
def test_what_is_mitigated_is_said_in_words(entry):
    model = AerEntry if entry is NOISY else IBMEntry
    both = model.model_validate({**entry, "mitigation": {"readout": True, "zne": {}}}).mitigation
    assert (both.zne.factors, both.zne.extrapolator) == ((1, 3), "linear")
    assert str(both) == "readout mitigated, tests extrapolated from factors 1, 3 (linear)"
    assert model.model_validate(entry).mitigation is None


@pytest.mark.parametrize("entry", [NOISY, FAKE])
@pytest.mark.parametrize(
    ("mitigation", "message"),
    [
        ({}, r"'backends.b.mitigation': must say readout: true, or zne, or both"),
        ({"readout": False}, "must say readout: true"),
        ({"readot": True}, "unknown key 'backends.b.mitigation.readot'; did you mean 'readout'"),
        ({"readout": "yes, please"}, "'backends.b.mitigation.readout': must be true or false"),
        ({"zne": True}, "'backends.b.mitigation.zne': must be a mapping"),
        ({"zne": {"factors": [1]}}, "'backends.b.mitigation.zne.factors'.*at least 2 items"),
        ({"zne": {"factors": [1, 2]}}, r"odd numbers that rise, such as \[1, 3\], but got \[1, 2\]"),
        ({"zne": {"factors": [3, 1]}}, "odd numbers that rise"),
        ({"zne": {"factors": [1, 1]}}, "odd numbers that rise"),
        ({"zne": {"factors": [-1, 1]}}, r"'backends.b.mitigation.zne.factors.0'"),
        ({"zne": {"factors": [1, 3.0]}}, r"'backends.b.mitigation.zne.factors.1'.*whole number"),
        ({"zne": {"factors": [1, 101]}}, "less than or equal to 99"),
        ({"zne": {"factors": list(range(1, 99, 2))}}, "at most 10 items"),
        ({"zne": {"extrapolator": "cubic"}}, "'linear' or 'exponential'"),
    ],
)
def test_what_cannot_be_asked_for(entry, mitigation, message):
    with pytest.raises(ConfigurationError, match=message):
        validate(BackendsFile, {"backends": {"ideal": {"type": "aer"}, "b": {**entry, "mitigation": mitigation}}}, "f")


BOTH = {"readout": True, "zne": {}}


@pytest.mark.parametrize(
    ("entry", "mitigation", "message"),
    [
        ({"type": "aer"}, BOTH, "mitigation has no effect without noise"),
        ({"type": "aer", "noise": {"depolarizing": {"two_qubit": 0.1}}}, BOTH, "readout has no effect without readout"),
        ({"type": "aer", "noise": {"readout": 0.1}}, BOTH, "zne has no effect without errors of two-qubit gates"),
        ({**FAKE, "resilience_level": 1}, BOTH, "mitigation and resilience_level both say what is mitigated"),
        ({**FAKE, "options": {"resilience": {}}}, BOTH, "mitigation and options.resilience both say"),
        ({**FAKE, "options": {"twirling": {"enable_measure": False}}}, BOTH, "twirling.enable_measure forbids it"),
        ({**FAKE, "primitive": "estimator"}, BOTH, "cannot be rehearsed with primitive: estimator"),
    ],
)
def test_what_contradicts_the_rest_of_the_entry(entry, mitigation, message):
    with pytest.raises(ConfigurationError, match=message):
        validate(BackendsFile, {"backends": {"ideal": {"type": "aer"}, "b": {**entry, "mitigation": mitigation}}}, "f")


def test_what_goes_together():
    noise = {"readout": 0.1, "amplitude_damping": {"two_qubit": 0.1}}
    for entry in (
        {"type": "aer", "noise": noise, "mitigation": BOTH},
        {**FAKE, "options": {"twirling": {"num_randomizations": 4}}, "mitigation": BOTH},
        {**FAKE, "options": {"twirling": {"enable_measure": False}}, "mitigation": {"zne": {}}},
        {**FAKE, "device": "ibm_kingston", "primitive": "estimator", "mitigation": BOTH},
    ):
        validate(BackendsFile, {"backends": {"ideal": {"type": "aer"}, "b": entry}}, "f")
