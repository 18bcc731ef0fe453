"""Bodies that come compressed (`Content-Encoding`, RFC 9110, 8.4).

A report of a crowded train's Wi-Fi may come in gzip. It counts by its size when it is unpacked, so
that a small body cannot become a large one in memory.
"""

import zlib

from api.wire.errors import UnsupportedEncoding
from waylight.domain.errors import BodyTooLarge, MalformedJSON, Problem

BOM = b"\xef\xbb\xbf"
GZIP = b"\x1f\x8b"
_EITHER = 47
"""zlib's number for gzip or zlib, whichever it is: senders mix the two up."""
_RAW = -15
"""And for deflate without any frame, which some send for `deflate`."""
_KNOWN = frozenset({"gzip", "x-gzip", "deflate"})


def decoded(data: bytes, codings: str, most: int | None) -> bytes:
    """The body without its coding; at most `most` bytes.

    Raises UnsupportedEncoding (415) for any but gzip and deflate and for two in a row,
    BodyTooLarge, and MalformedJSON for a body that is not what it says.
    """
    coding = _coding(codings)
    if coding is None:
        return data
    if coding not in _KNOWN:
        raise UnsupportedEncoding
    try:
        plain, whole = _unpack(data, most=most)
    except zlib.error:
        plain, whole = b"", False
    if not whole:
        problem = Problem("Content-Encoding", "not_decodable", f"The body is not whole {coding}.")
        raise MalformedJSON(problems=(problem,))
    return plain


def decoded_kindly(data: bytes, codings: str, most: int | None) -> bytes:
    """The same for a report: by what the body is, for a wrong header costs nobody their report.

    Raises BodyTooLarge; UnsupportedEncoding only for what is neither packed in a way that we know
    nor plain JSON.
    """
    coding = _coding(codings)
    if data.removeprefix(BOM).lstrip()[:1] in (b"{", b""):
        return data
    if data.startswith(GZIP) or coding in _KNOWN:
        try:
            return _unpack(data, most=most)[0]
        except zlib.error:
            return data
    if coding is not None:
        raise UnsupportedEncoding
    return data


def _coding(codings: str) -> str | None:
    """The one coding, in lower case; None for a body as it is."""
    named = codings.lower().replace(" ", "")
    return named if named not in ("", "identity") else None


def _unpack(data: bytes, *, most: int | None) -> tuple[bytes, bool]:
    """The plain bytes, and whether the end was there. Raises zlib.error, BodyTooLarge."""
    limit = 0 if most is None else most + 1
    try:
        unpacking = zlib.decompressobj(_EITHER)
        plain = unpacking.decompress(data, limit)
    except zlib.error:
        unpacking = zlib.decompressobj(_RAW)
        plain = unpacking.decompress(data, limit)
    if most is not None and len(plain) > most:
        raise BodyTooLarge
    return plain, unpacking.eof
