"""The border of text files and JSON: whatever goes wrong in reading them is one error, of the kind that was asked."""

import os
from pathlib import Path

import pytest

from qiskit_fedqml.config.text_files import parse_json, read_text, reading, unusable
from qiskit_fedqml.errors import BackendError, ConfigurationError, FedQMLError, ResultError, listed, shortened, shown


def every_subclass(kind):
    return [kind, *(below for one in kind.__subclasses__() for below in every_subclass(one))]


OF_THE_SYSTEM = [kind for kind in every_subclass(OSError) if kind.__module__ == "builtins"]


@pytest.mark.parametrize("kind", [*OF_THE_SYSTEM, ValueError, UnicodeError], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("error", [ConfigurationError, ResultError, BackendError])
def test_every_exception_of_the_system_is_mapped(kind, error, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise kind("it is wrong")

    assert len(OF_THE_SYSTEM) > 10
    (tmp_path / "f").touch()
    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(error, match=r"f: cannot be read: it is wrong\."):
        read_text(tmp_path / "f", error)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file or directory"),
        (Path.mkdir, "it is a folder"),
        (os.mkfifo, "it is not a file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.symlink_to("/nonexistent"), "No such file or directory"),
        (lambda path: path.write_bytes(b"\xff"), "it is not UTF-8 text"),
        (lambda path: path.write_text("a", encoding="utf-16"), "it is not UTF-8 text"),
        (lambda path: path.write_text("x" * 101), "it is larger than 100 bytes"),
    ],
)
def test_what_is_no_text_file_is_refused(tmp_path, make, message):
    make(tmp_path / "f")
    with pytest.raises(ConfigurationError, match=rf"f: cannot be read: {message}\."):
        read_text(tmp_path / "f", ConfigurationError, most_bytes=100)


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "x\0y", "x\ud800"])
def test_names_that_no_file_has_are_refused(tmp_path, name):
    with pytest.raises(ConfigurationError, match="cannot be read") as refused:
        read_text(tmp_path / name, ConfigurationError)
    assert len(str(refused.value)) < 1100
    assert unusable(tmp_path / name)
    assert unusable(tmp_path / "none") is None
    assert unusable(tmp_path) is None


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfa: \xc3\xa9")
    assert read_text(tmp_path / "f", ConfigurationError) == "a: é"


def test_errors_of_the_reader_itself_pass(tmp_path):
    (tmp_path / "f").touch()
    with pytest.raises(BackendError, match="mine"), reading(tmp_path / "f", ResultError):
        raise BackendError("mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value at line 1, column 1"),
        ('{"a": 1,}', "at line 1"),
        ("[" * 100_000, "it is nested too deeply"),
        ("9" * 5000, "a number has too many digits"),
        ("[NaN]", "NaN is no number of JSON"),
        ("[-Infinity]", "-Infinity is no number of JSON"),
        (b"\xff", "it is not UTF-8 text"),
        (b"\xef\xbb\xbf{", "JSON"),
    ],
)
def test_what_is_no_json_is_refused(text, message):
    for error in (ResultError, ConfigurationError):
        with pytest.raises(error) as caught:
            parse_json(text, "f.json", error)
        assert str(caught.value).startswith("f.json is not JSON: ")
        assert message in str(caught.value)
    assert parse_json('{"a": [1, null]}', "f", ResultError) == {"a": [1, None]}


@pytest.mark.parametrize("kind", [ValueError, RecursionError], ids=lambda kind: kind.__name__)
def test_every_exception_of_json_is_mapped(kind, monkeypatch):
    def fail(*_, **__):
        raise kind("it is wrong")

    monkeypatch.setattr("json.loads", fail)
    with pytest.raises(FedQMLError, match="f is not JSON"):
        parse_json("1", "f", ConfigurationError)


def test_long_lists_and_values_are_cut():
    assert listed(["a", "b"]) == "a, b"
    assert listed(range(10)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert listed(range(2000), 3) == "0, 1, 2, … (1,997 more)"
    assert listed(["x" * 500], 3) == "x" * 59 + "…"
    assert listed([]) == ""
    assert (shortened("abc", 3), shortened("abcd", 3)) == ("abc", "ab…")
    assert shown("x" * 500) == "'" + "x" * 58 + "…"
    assert len(shown([["x" * 100] * 100] * 100)) <= 60
    assert shown(10**5000) == "a number of thousands of digits"
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert len(shown(nested)) <= 60
