"""Answers on the wire: zstd, Brotli or gzip, whichever the caller takes.

Each at its fastest: for the answer to a report (7.5 KB) zstd 1 costs 26 microseconds and leaves
2.6 KB, gzip 1 51 and 2.7 KB; gzip 6 would cost 90 for 8 % less, Brotli 4 132 for 5 % less.

May secrets be compressed? An attack like BREACH needs a secret that stays the same over many
answers, text of the attacker's choosing beside it, a browser that sends the victim's credentials
by itself, and a view of the lengths. Here an answer repeats no more of what was sent than the names
of unknown fields; a receipt is in one answer only, or in the same bytes again; and credentials are
in a header that only the caller's own code sets, never in a cookie. So the answer to a report is
compressed, and a passenger's own report too. An answer to a person on the staff is not: the stories
of several passengers meet in it, and one of them may be there to measure the others.
"""

import re

from flask import Flask, Response, g, request
from flask_compress import Compress

from waylight.domain.principals import NOBODY, Kind

SETTINGS = {
    "COMPRESS_ALGORITHM": ["zstd", "br", "gzip"],
    "COMPRESS_ZSTD_LEVEL": 1,
    "COMPRESS_BR_LEVEL": 1,
    "COMPRESS_LEVEL": 1,
    # Less than this is one packet either way.
    "COMPRESS_MIN_SIZE": 1000,
    "COMPRESS_MIMETYPES": [
        "application/geo+json",
        "application/javascript",
        "application/json",
        "application/problem+json",
        "application/yaml",
        "image/svg+xml",
        "text/css",
        "text/html",
        "text/javascript",
        "text/plain",
    ],
    # A stream of events must leave at once, not when the compressor has enough.
    "COMPRESS_STREAMS": False,
    # ETags of what may be compressed are weak, hence the same for every coding.
    "COMPRESS_EVALUATE_CONDITIONAL_REQUEST": False,
    "COMPRESS_REGISTER": False,
}

_REFUSES_ONE = re.compile(r";\s*q\s*=\s*0(?:\.0*)?\s*(?:,|$)")


class Compression:
    """Compresses the answers of one app."""

    def __init__(self, app: Flask) -> None:
        app.config.update(SETTINGS)
        self._compress = Compress(app)

    def compress(self, response: Response) -> Response:
        """Compresses what is worth it, and says `Vary: Accept-Encoding` of all that may be.

        Nothing for the staff, no stream, and nothing with a strong ETag of its own: that one
        promises these very bytes.
        """
        if response.mimetype not in self._compress.compress_mimetypes_set:
            return response
        if (
            response.is_streamed
            or g.get("principal", NOBODY).kind is Kind.STAFF
            or _strong(response)
        ):
            return response
        accepted = request.headers.get("Accept-Encoding", "")
        if not accepted or _REFUSES_ONE.search(accepted):
            # flask-compress takes `gzip;q=0` for a wish.
            response.vary.add("Accept-Encoding")
            return response
        status, coding = response.status_code, response.headers.get("Content-Encoding")
        if status >= 400:
            response.status_code = 200  # flask-compress leaves errors alone; a 422 may be long
        try:
            return self._compress.after_request(response)
        except Exception:
            if coding is None:
                response.headers.pop("Content-Encoding", None)  # it is named before it is done
            raise
        finally:
            response.status_code = status


def _strong(response: Response) -> bool:
    return response.headers.get("ETag", "W/").startswith('"')
