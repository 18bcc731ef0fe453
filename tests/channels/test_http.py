import gzip

import pytest
import requests

from tests.receivers import answer, drip, receiving
from waylight.channels.http import LARGEST_ANSWER, Session


@pytest.mark.parametrize(
    "said",
    [
        answer(200, b"x" * (LARGEST_ANSWER + 1)),
        answer(200, gzip.compress(b"x" * 50_000_000), Content_Encoding="gzip"),
        drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
    ],
)
def test_answer_of_a_provider_is_kept_up_to_a_size_and_no_further(said):
    with receiving(said) as receiver, pytest.raises(requests.RequestException) as why:
        Session().get(f"http://127.0.0.1:{receiver.port}/", timeout=(60, 60))
    assert "too large" in str(why.value)


def test_answer_of_usual_size_is_read():
    with receiving(answer(200, b"x" * LARGEST_ANSWER)) as receiver:
        found = Session().get(f"http://127.0.0.1:{receiver.port}/", timeout=(60, 60))
    assert len(found.content) == LARGEST_ANSWER
