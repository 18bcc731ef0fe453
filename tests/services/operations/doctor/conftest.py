from dataclasses import replace

import pytest

from tests.desk import P1
from tests.services.operations.doctor.deployment import NOW, TINYTOWN
from waylight.domain.principals import NOBODY
from waylight.domain.reports import Submission
from waylight.services import packs
from waylight.services.reports import submit_reports
from waylight.vault import Vault


@pytest.fixture
def well(database):
    """A deployment in which all is as it should be."""
    packs.load_pack(database, TINYTOWN, now=NOW, progress=lambda _: None)
    with database.owner() as conn:
        conn.execute("update cities set contacts_verified_at = %s", [NOW.date()])
        conn.execute("insert into worker_heartbeats values ('w', 'h', 1, %s, %s)", [NOW, NOW])
    return database


@pytest.fixture
def reported(well):
    """Two reports with a story, one without a word."""
    vault = Vault(well._settings)
    for report in (P1, replace(P1, narrative="Another story."), replace(P1, narrative=None)):
        submission = Submission(report=report, received_at=NOW, principal=NOBODY)
        submit_reports(well, vault, well._settings, [submission])
    return well
