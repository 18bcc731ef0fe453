"""The stream through a real nginx, configured as docs/streaming.md says."""

import contextlib
import http.client
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.databases import ROOT
from tests.desk import P1, keys_for, open_desk
from tests.docs.blocks import blocks_of
from tests.ports import free_port
from tests.processes import PATIENCE_S, serving
from tests.proxy import soon
from tests.streams import PATH, Stream, following
from tests.tokens import token
from waylight.services.operations import chores

NGINX = (
    shutil.which("nginx")
    or shutil.which("nginx", path="/usr/sbin")
    or shutil.which("nginx", path=str(ROOT / ".local/nginx/usr/sbin"))
)

pytestmark = [
    pytest.mark.commits,
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="no nginx: bin/setup --dev unpacks one where it can"),
]


@contextlib.contextmanager
def nginx(folder: Path, *, api: int, stream: int, forget: str = ""):
    """nginx as the document has it, on a free port, with nothing outside `folder`.

    Leaves out the line of the configuration that has the word `forget` in it.
    """
    port = free_port()
    (block,) = (b for b in blocks_of(ROOT / "docs/streaming.md") if b.language == "nginx")
    server = block.text
    for documented, own in ((8000, api), (8001, stream), (8080, port)):
        assert server.count(f"127.0.0.1:{documented}") == 1
        server = server.replace(f"127.0.0.1:{documented}", f"127.0.0.1:{own}")
    if forget:
        assert forget in server
        server = re.sub(rf"^.*{forget}.*$", "", server, flags=re.MULTILINE)
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n"
        f"events {{ worker_connections 512; }}\nhttp {{\n{paths}\n{server}\n}}\n"
    )
    command = [NGINX or "", "-p", str(folder), "-c", str(configuration), "-e", "stderr"]
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            soon(lambda: process.poll() is not None or answers(port))
            assert process.poll() is None, (folder / "nginx.log").read_text()
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def ask(port, path):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as line:
        line.request("GET", path)
        return line.getresponse().status


def answers(port):
    try:
        return Stream(port, method="HEAD").status == 401
    except OSError:
        return False


@pytest.mark.parametrize("forget", ["", "proxy_buffering off"])
def test_stream_works_through_nginx_as_documented(database, vault, settings, tmp_path, forget):
    now = datetime.now(UTC)
    # A server that is long in starting must not take its worker for dead.
    chores.beat(database, "w", host="h", pid=1, started_at=now, now=now + timedelta(hours=1))
    desk = open_desk(database, vault, settings)
    tokens = keys_for(desk, [desk.police, desk.control])
    robin, casey = tokens[desk.police], tokens[desk.control]
    with (
        serving(database._settings.database_url, tmp_path) as server,
        nginx(tmp_path, api=free_port(), stream=server.port, forget=forget) as port,
        following(port, token=robin) as stream,
    ):
        before = stream.last_id
        desk.report(P1)
        chores.number_events(database)
        soon(lambda: stream.events("alert.created"))
        assert "x-accel-buffering" not in stream.head  # it is for nginx, which keeps it
        # Many at once, each on a line of its own, and each gets all that it missed.
        with ThreadPoolExecutor(20) as pool:
            streams = list(
                pool.map(lambda _: Stream(port, token=casey, last_event_id=before), range(40))
            )
        soon(lambda: all(len(one.events("alert.created")) == 2 for one in streams))
        for one in streams:
            one.close()
        # The API is not there, and the stream does not mind.
        assert ask(port, "/v1/alerts") == 502
        # A ticket that nginx tried once is not tried twice.
        assert Stream(port, path=f"{PATH}?ticket={token('stream ticket', 'x')}").status == 401
        server.process.terminate()
        assert stream.ended.wait(PATIENCE_S)
        assert stream.about("stream.closing")
    assert "ticket=" not in (tmp_path / "nginx.log").read_text()
