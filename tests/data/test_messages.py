from urllib.error import URLError

import pytest

from qiskit_fedqml.data.messages import listed, reason, shown


def test_text_can_be_printed_and_is_short():
    assert shown("/data/two  spaces") == "/data/two  spaces"
    assert shown("cat\udce9.png") == "cat\\udce9.png"
    assert shown("a\nb\x1b[31m") == "a b [31m"
    assert shown("é") == "é"
    long = shown("a" * 300 + "b" * 300)
    assert len(long) < 250
    assert long.startswith("aaa")
    assert long.endswith("bbb")


def test_long_lists_are_cut():
    assert listed(["a", 1]) == "['a', 1]"
    assert listed(list(range(100))) == "[0, 1, 2, 3, 4, 5, 6, 7, … 92 more]"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EOFError(), "EOFError"),
        (ValueError("bad.\nmore"), "bad"),
        (FileNotFoundError(2, "No such file", "x"), "No such file"),
        (URLError("no network"), "<urlopen error no network>"),
    ],
)
def test_reasons_are_one_line(error, text):
    assert reason(error) == text
