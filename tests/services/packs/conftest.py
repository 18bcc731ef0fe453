import shutil
from pathlib import Path

import pytest

from tests.services.packs.editing import TINYTOWN


@pytest.fixture
def pack(tmp_path):
    """Tinytown in a folder that a test may change."""
    return Path(shutil.copytree(TINYTOWN, tmp_path / "tinytown"))
