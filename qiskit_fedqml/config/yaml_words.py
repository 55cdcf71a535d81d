"""Values as a YAML file writes them, for errors."""

import reprlib

from qiskit_fedqml.errors import SHORT, shown


class _InYaml(reprlib.Repr):
    """As Python writes them, apart from null, true and false."""

    def repr_bool(self, value: bool, level: int) -> str:
        return "true" if value else "false"

    def repr_NoneType(self, value: None, level: int) -> str:  # noqa: N802
        return "null"


_SHORT_IN_YAML = _InYaml()
_SHORT_IN_YAML.__dict__.update(vars(SHORT))


def shown_as_yaml(value: object) -> str:
    """Return a value of a YAML file, cut as :func:`~qiskit_fedqml.errors.shown` cuts it."""
    return shown(value, _SHORT_IN_YAML)
