import pytest


@pytest.mark.parametrize("device", ["FakeManilaV2", "FakeQuitoV2"])
def test_mitigation_moves_values_toward_ideal(script, device):
    found = {one.method: one for one in script.measure(device, samples=40, shots=1024)}
    assert found["none"].slope < found["readout"].slope < found["readout, linear"].slope < 1
    assert found["none"].slope < found["linear"].slope < found["readout, exponential"].slope < 1.01
    assert found["readout"].error < 0.9 * found["none"].error
    assert found["readout, exponential"].error < 0.5 * found["none"].error
    for one in found.values():
        assert one.cost == (1 if one.method in {"none", "readout"} else 2)
        assert one.error_with_shots > one.error
