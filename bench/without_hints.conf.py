"""The configuration of gunicorn as it is, without hints to the workers: for the comparison."""

from pathlib import Path
from typing import Any

exec(  # noqa: S102 - our own file, which gunicorn reads in the same way
    compile(Path("gunicorn.conf.py").read_text(), "gunicorn.conf.py", "exec"), globals()
)
_begin = globals()["post_worker_init"]


def post_worker_init(worker: Any) -> None:  # noqa: ANN401 - gunicorn's
    """As production has it, without the thread that sends hints."""
    worker.wsgi.extensions["waylight.hints"].start = lambda: None
    _begin(worker)
