"""The image files of a folder with one folder a class: which count, which are left out, and what links lead to."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.data.decoding import readable_suffixes
from qiskit_fedqml.data.entries import Entry, visible_entries
from qiskit_fedqml.data.messages import listed, shown
from qiskit_fedqml.errors import DataError

logger = logging.getLogger(__name__)

Files = dict[Path, Path]
"""Image files by what they are behind links: two paths of one file have one key."""


@dataclass(frozen=True)
class ImageTree:
    """The images of a folder with one folder a class.

    Args:
        classes: Names of the classes, sorted, in Unicode's normal form C.
        files: The image files, sorted by class and path.
        labels: Their class indices, shape (images,).
    """

    classes: tuple[str, ...]
    files: Files
    labels: NDArray[np.int64]


def read_tree(root: Path) -> ImageTree:
    """Find the images of each class, in its folder or below, and log what is left out.

    Hidden files and folders and those that systems make are no data. Links are followed; a file that is reached by
    several paths counts once, and a link to a folder above is not followed.

    Args:
        root: The folder.

    Raises:
        DataError: There are fewer than two classes, two whose names differ only in case, or one without images; a file
            belongs to two classes; a link leads nowhere; a folder cannot be read.
    """
    entries = visible_entries(root)
    folders = _class_folders(root, [entry.path for entry in entries if entry.is_folder])
    left_out = Counter(f"{_kind(entry)} next to the class folders" for entry in entries if not entry.is_folder)
    files: Files = {}
    counts = []
    for folder in folders.values():
        found, not_taken = images_below(folder)
        if not found:
            holds = _counts(not_taken) if not_taken else "nothing"
            raise DataError(f"{shown(folder)} must hold images (.jpg, .png, .tif, …), but holds {holds}.")
        check_disjoint(files, found, "in two classes")
        files |= found
        counts.append(len(found))
        left_out += not_taken
    if left_out:
        logger.warning("%s: left out %s.", shown(root), _counts(left_out))
    return ImageTree(tuple(folders), files, np.repeat(np.arange(len(counts), dtype=np.int64), counts))


def check_disjoint(files: Files, others: Files, where: str) -> None:
    """Check that no file is in both, through links.

    Raises:
        DataError: One is.
    """
    both = sorted(files.keys() & others.keys())
    if both:
        raise DataError(f"{shown(files[both[0]])} and {shown(others[both[0]])} are one file, {where}.")


def _class_folders(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Return the class folders by the names of their classes, sorted."""
    named: dict[str, Path] = {}
    by_key: dict[str, Path] = {}
    for folder in folders:
        name = unicodedata.normalize("NFC", folder.name)
        if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name):
            raise DataError(f"{shown(root)} has a class folder whose name is no UTF-8 text: {shown(ascii(name))}.")
        other = by_key.setdefault(name.casefold(), folder)
        if other != folder:
            raise DataError(
                f"{shown(root)} has class folders {other.name!r} and {folder.name!r}, which differ only in spelling; "
                "merge or rename them."
            )
        named[name] = folder
    if len(named) < 2:
        raise DataError(
            f"{shown(root)} must have a folder for each of at least two classes, but has {listed(list(named))}."
        )
    return dict(sorted(named.items()))


def images_below(folder: Path) -> tuple[Files, Counter[str]]:
    """Return the images in a folder and below, sorted, and how many other entries of which kind there are."""
    top = folder.resolve()
    entered = {top, *top.parents}
    waiting = [folder]
    found: Files = {}
    left_out: Counter[str] = Counter()
    while waiting:
        current = waiting.pop()
        for entry in visible_entries(current):
            if entry.is_folder:
                if entry.real not in entered:
                    entered.add(entry.real)
                    waiting.append(entry.path)
            elif not entry.is_file or entry.path.suffix.lower() not in readable_suffixes():
                left_out[_kind(entry)] += 1
            elif entry.real in found:
                left_out["further link to an image"] += 1
            else:
                found[entry.real] = entry.path
    return dict(sorted(found.items(), key=lambda item: item[1])), left_out


def _kind(entry: Entry) -> str:
    if not entry.is_file:
        return "no regular file"
    if entry.path.suffix.lower() in readable_suffixes():
        return "image"
    return shown(entry.path.suffix.lower(), 20) or "file without suffix"


def _counts(left_out: Counter[str]) -> str:
    """Return "12 .txt, 3 .heic": the most frequent first, cut after a few."""
    most = left_out.most_common(8)
    rest = left_out.total() - sum(count for _, count in most)
    return ", ".join(f"{count} {kind}" for kind, count in most) + (f", … {rest} more" if rest else "")
