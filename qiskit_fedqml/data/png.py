"""PNG files whose pixels are sound, although another part of them is not."""

import struct
import zlib
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})
"""Chunks that say what the picture looks like; others are comments, colour profiles, times, …"""


def pixel_chunks(path: Path) -> bytes | None:
    """Return a PNG file without the chunks that its pixels do not need.

    Args:
        path: The file.

    Returns:
        The file's content; None if it is no PNG, or if one of the chunks that it needs is damaged.

    Raises:
        OSError: It cannot be read.
    """
    content = path.read_bytes()
    if not content.startswith(_SIGNATURE):
        return None
    kept = [_SIGNATURE]
    position, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", content.ljust(position + 8, b"\0"), position)
        chunk = content[position : position + length + 12]
        if len(chunk) < length + 12 or not kind.isalpha():
            return None
        if kind in _PIXELS:
            if zlib.crc32(chunk[4:-4]) != struct.unpack(">I", chunk[-4:])[0]:
                return None
            kept.append(chunk)
        position += len(chunk)
    return b"".join(kept)
