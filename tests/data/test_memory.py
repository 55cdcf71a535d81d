import pytest

from qiskit_fedqml.data.memory import check_memory
from qiskit_fedqml.errors import DataError


def test_what_can_never_fit_is_refused():
    check_memory(1000, "Images")
    with pytest.raises(DataError, match=r"Images need at least .* GiB of memory, but this computer has \d"):
        check_memory(2**61, "Images")
