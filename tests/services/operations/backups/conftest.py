from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Cluster
from tests.services.operations.backups.nights import NOW
from waylight.db.session import Database
from waylight.services.operations import backups
from waylight.vault import Vault


@pytest.fixture
def back_up(vault: Vault, tmp_path: Path) -> Callable[..., Path]:
    """Takes a backup of a database into a folder of this test."""

    def back_up(database: Database, **others: Any) -> Path:
        arguments: dict[str, Any] = {"folder": tmp_path / "backups", "now": NOW, "progress": print}
        arguments |= others
        return backups.back_up(database, vault, database._settings, **arguments)

    return back_up


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[str]:
    """The address of an empty database."""
    with cluster.clone(None) as name:
        yield cluster.url(name)
