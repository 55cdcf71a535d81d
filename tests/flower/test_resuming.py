import logging
from types import SimpleNamespace

from qiskit_fedqml.flower.resuming import compare_versions
from qiskit_fedqml.results.provenance import versions


def test_other_versions_are_named_in_harmless_words(caplog):
    same, other = versions(), versions() | {"torch": "\x1b[2J9.9\n" + "x" * 10_000}
    members = {
        client: SimpleNamespace(introduction=SimpleNamespace(versions=found))
        for client, found in enumerate((same, other))
    }
    with caplog.at_level(logging.WARNING):
        compare_versions(members)
    (record,) = caplog.records
    assert record.getMessage().startswith("Client 1 has torch [2J9.9 xxx")
    assert len(record.getMessage()) < 200
    assert "\x1b" not in record.getMessage()
