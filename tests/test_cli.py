import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner

from tests.databases import ROOT, environment_for, settings_for
from tests.desk import open_desk
from tests.ports import free_port
from tests.proxy import soon
from waylight import cli
from waylight.db.session import Database
from waylight.ids import wire_id
from waylight.services import accounts, keys
from waylight.services.operations import doctor, migrations
from waylight.vault import Vault

TINYTOWN = str(Path(__file__).parent / "data/tinytown")


@pytest.fixture(autouse=True)
def _restored_logging():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.fixture
def waylight():
    """Runs one command against a database, given by its address, and returns how it went."""

    def run(url, *arguments, answer=None, **changes):
        environ: dict[str, str | None] = {
            name: None for name in os.environ if name.startswith("WAYLIGHT_")
        }
        return CliRunner(env=environ | environment_for(url, **changes)).invoke(
            cli.cli, arguments, input=answer, prog_name="waylight"
        )

    return run


@pytest.fixture
def url(database):
    """The address of a migrated, empty database of this test alone."""
    return database._settings.database_url


@pytest.fixture
def desk_of():
    """A small city in a database given by its address, with settings of its own."""
    opened = []

    def desk_of(url, **changes):
        settings = settings_for(url, **changes)
        opened.append(Database(settings))
        return open_desk(opened[-1], Vault(settings), settings)

    yield desk_of
    for database in opened:
        database.close()


# --- in general


def test_wrong_settings_are_all_named_and_end_every_command_with_1(waylight):
    for command in (["migrate"], ["worker"], ["serve"], ["key", "list"]):
        done = waylight("nonsense", *command, WAYLIGHT_PORT="0")
        assert done.exit_code == 1, command
        assert "WAYLIGHT_DATABASE_URL" in done.stderr
        assert "WAYLIGHT_PORT" in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize("command", [["migrate"], ["load", TINYTOWN], ["key", "list"]])
def test_a_server_that_is_away_is_said_in_words(waylight, command):
    done = waylight("postgresql://nobody@127.0.0.1:1/none", *command)
    assert done.exit_code == 1
    assert "The database cannot be used" in done.stderr
    assert "refused" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_does_not_import_what_it_does_not_need():
    script = (
        "import sys, waylight.cli as c\n"
        "try: c.cli(['--help'], prog_name='waylight')\n"
        "except SystemExit: pass\n"
        "print(*({'sqlalchemy', 'alembic', 'flask', 'holidays', 'gevent'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.splitlines()[-1] == ""
    for command in (
        "serve",
        "worker",
        "migrate",
        "load",
        "backup",
        "restore",
        "secrets",
        "key",
        "openapi",
        "doctor",
    ):
        assert f"\n  {command} " in done.stdout


# --- migrate


def test_migrate_makes_an_empty_database_ready_and_says_each_step(waylight, cluster):
    with cluster.clone(None) as name:
        url = cluster.url(name)
        assert "at nothing" in waylight(url, "migrate", "--check").stderr
        done = waylight(url, "migrate")
        assert done.exit_code == 0
        assert done.stderr.splitlines()[-1] == f"schema up to {migrations.head()}"
        checked = waylight(url, "migrate", "--check")
        assert (checked.exit_code, checked.stderr) == (
            0,
            f"The schema is at {migrations.head()}, the newest.\n",
        )
        assert waylight(url, "migrate").stderr == ""


@pytest.mark.commits
def test_data_is_lost_only_after_a_yes(waylight, url, database):
    asked = waylight(url, "migrate", "--down", "base", answer="n\n")
    assert asked.exit_code == 1
    assert migrations.current(database) == migrations.head()
    assert waylight(url, "migrate", "--down", "base", "--yes").exit_code == 0
    assert migrations.current(database) is None


# --- load and key


@pytest.mark.commits
def test_a_pack_is_loaded_with_counts_and_again_without_change(waylight, url):
    done = waylight(url, "load", TINYTOWN)
    assert done.exit_code == 0
    assert "tinytown: version 1" in done.stderr
    assert "teams: " in done.stderr
    assert "loaded already" in waylight(url, "load", TINYTOWN).stderr


@pytest.mark.commits
def test_a_folder_without_a_pack_is_refused_and_each_problem_said_once(waylight, url, tmp_path):
    done = waylight(url, "load", str(tmp_path))
    assert done.exit_code == 1
    assert done.stderr.count("city.yaml") == 1
    assert waylight(url, "load", str(tmp_path / "nowhere")).exit_code == 2


@pytest.mark.commits
def test_a_damaged_file_is_refused_until_the_loss_is_allowed(waylight, url, tmp_path):
    pack = Path(shutil.copytree(TINYTOWN, tmp_path / "tinytown"))
    with (pack / "places.csv").open("a", encoding="utf-8") as end:
        end.writelines(f"bad:{n},,Bad,castle,174.76,-36.85,bus,,,,,true\n" for n in range(11))
    done = waylight(url, "load", str(pack))
    assert done.exit_code == 1
    assert "places.csv: 11 of 18 rows are rejected: row 9: kind 'castle'" in done.stderr
    assert done.stderr.count("--allow-retire") == 1
    done = waylight(url, "load", "--allow-retire", str(pack))
    assert done.exit_code == 0
    assert "places: 7 added" in done.stderr


@pytest.mark.commits
def test_a_key_is_made_listed_and_revoked(waylight, url, database, vault):
    waylight(url, "load", TINYTOWN)
    person = ["--person", "Ada Ling", "--role", "officer", "--organisation", "tiny-police"]
    made = waylight(url, "key", "create", *person, "--scope", "alerts:read", "--days", "3")
    assert made.exit_code == 0
    token = made.stdout.strip()
    assert token.startswith("waylight_sk_")
    assert token not in made.stderr
    caller = keys.authenticate(database, vault, token, now=datetime.now(UTC))
    assert caller is not None
    assert caller.scopes == {"alerts:read"}

    listed = waylight(url, "key", "list").stdout
    assert f"{caller.key_id}  staff   ends " in listed
    assert "Ada Ling, officer  [Tinytown police (demo)]  alerts:read" in listed

    assert waylight(url, "key", "revoke", str(caller.key_id)).exit_code == 0
    assert f"{caller.key_id}  staff   revoked " in waylight(url, "key", "list").stdout
    assert waylight(url, "key", "revoke", str(caller.staff_id)).exit_code == 1


@pytest.mark.commits
def test_a_program_gets_a_key_without_an_organisation(waylight, url):
    made = waylight(url, "key", "create", "--client", "Night app", "--scope", "exercise")
    assert made.stdout.startswith("waylight_ck_")
    assert "client  live" in waylight(url, "key", "list").stdout


@pytest.mark.commits
def test_key_is_rotated_and_its_old_token_works_beside_the_new_one(waylight, url, database, vault):
    page = ["--origin", "https://App.example:443"]
    made = waylight(url, "key", "create", "--client", "Night app", *page).stdout.strip()
    caller = keys.authenticate(database, vault, made, now=datetime.now(UTC))
    assert caller is not None
    assert caller.allowed_origins == {"https://app.example"}
    rotated = waylight(url, "key", "rotate", str(caller.key_id), "--overlap-hours", "2")
    assert rotated.exit_code == 0
    listed = waylight(url, "key", "list").stdout
    assert "old token until" in listed
    assert "https://app.example" in listed
    for ends_at, old_works in ((1, True), (3, False)):
        later = datetime.now(UTC) + timedelta(hours=ends_at)
        assert (keys.authenticate(database, vault, made, now=later) is not None) is old_works
        assert keys.authenticate(database, vault, rotated.stdout.strip(), now=later) is not None
    assert waylight(url, "key", "rotate", str(uuid4())).exit_code == 1


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--person", "A", "--organisation", "x", "--role", "y", "--origin", "https://a.example"],
        ["--person", "A", "--client", "b"],
        ["--person", "A"],
        ["--person", "A", "--organisation", "x"],
        ["--client", "b", "--days", "0"],
    ],
)
def test_a_key_for_nobody_in_particular_is_a_mistake_in_usage(waylight, options):
    done = waylight("postgresql://nobody@127.0.0.1:1/none", "key", "create", *options)
    assert done.exit_code == 2


@pytest.mark.commits
def test_demo_keys_are_written_and_what_is_missing_is_said(waylight, url, tmp_path):
    path = tmp_path / "demo.json"
    waylight(url, "load", TINYTOWN)
    done = waylight(
        url, "key", "demo", "--file", str(path), WAYLIGHT_PROFILE="demo", WAYLIGHT_PORT="8123"
    )
    assert done.exit_code == 0
    assert "control_room" in done.stderr
    content = json.loads(path.read_text())
    assert content["base_url"] == "http://127.0.0.1:8123"
    assert set(content["keys"]) == {"hub"}


@pytest.mark.commits
def test_production_writes_no_tokens_into_a_file(waylight, url, tmp_path):
    path = tmp_path / "demo.json"
    waylight(url, "load", TINYTOWN)
    done = waylight(
        url,
        *("key", "demo", "--file", str(path)),
        WAYLIGHT_PROFILE="production",
        WAYLIGHT_EXEMPT_LOOPBACK="0",
    )
    assert done.exit_code == 1
    assert not path.exists()


# --- backup, restore and secrets


@pytest.mark.slow
@pytest.mark.commits
def test_a_backup_is_taken_looked_at_and_restored(waylight, url, cluster, tmp_path):
    waylight(url, "load", TINYTOWN)
    taken = waylight(url, "backup", "--to", str(tmp_path / "safe"), "--keep", "2")
    assert taken.exit_code == 0, taken.stderr
    (path,) = (tmp_path / "safe").iterdir()
    assert taken.stdout == f"{path}\n"
    assert "ARE NOT IN IT" in taken.stderr

    checked = waylight(url, "restore", "--check", str(path))
    assert (checked.exit_code, checked.stdout) == (0, "")
    assert "every key that it needs is set" in checked.stderr
    refused = waylight(url, "restore", str(path))
    assert refused.exit_code == 1
    assert "not empty" in refused.stderr
    assert "--into" in refused.stderr

    with cluster.clone(None) as name:
        done = waylight(cluster.url(name), "restore", str(path))
        assert done.exit_code == 0, done.stderr
        assert "every row counted" in done.stderr
        assert "waylight doctor" in done.stderr
        assert "waylight migrate" not in done.stderr
        assert "cities" not in waylight(cluster.url(name), "doctor").stdout.split("PROBLEM", 1)[1]


@pytest.mark.commits
def test_a_backup_that_fails_says_so_and_prints_no_path(waylight, url, tmp_path):
    (tmp_path / "file").write_text("")
    done = waylight(url, "backup", "--to", str(tmp_path / "file" / "below"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "cannot be used" in done.stderr


@pytest.mark.commits
def test_secrets_are_counted_made_and_wrapped_anew(waylight, url, desk_of):
    first = waylight(url, "secrets", "new", "vault")
    assert re.fullmatch(r"3:[A-Za-z0-9+/]{43}=\n", first.stdout)
    assert waylight(url, "secrets", "new", "receipt").stdout.startswith("2:")
    desk_of(url, WAYLIGHT_VAULT_KEY_VERSION="1").report()
    before = waylight(url, "secrets", "status")
    assert before.exit_code == 0
    assert "1 stories   keep until `waylight secrets rewrap`" in before.stdout
    rewrapped = waylight(url, "secrets", "rewrap")
    assert (rewrapped.exit_code, rewrapped.stdout) == (0, "")
    assert "1 stories wrapped anew, 0 could not be opened." in rewrapped.stderr
    after = waylight(url, "secrets", "status").stdout
    assert "0 stories   may be taken away; then run `waylight migrate`" in after
    assert "in use" in after
    only = environment_for(url)["WAYLIGHT_VAULT_KEYS"].split(",")[0]
    lost = waylight(url, "secrets", "status", WAYLIGHT_VAULT_KEYS=only)
    assert lost.exit_code == 1
    assert "PROBLEM: set it again in WAYLIGHT_VAULT_KEYS" in lost.stdout


@pytest.mark.commits
def test_a_story_that_cannot_be_wrapped_anew_is_named(waylight, url, desk_of):
    desk = desk_of(url, WAYLIGHT_VAULT_KEY_VERSION="1")
    report = desk.report()
    desk.do("update report_secrets set narrative = 'spoilt'")
    done = waylight(url, "secrets", "rewrap")
    assert (done.exit_code, done.stdout) == (1, f"{report.id}\n")


# --- openapi and doctor


def test_openapi_is_printed_without_settings_and_nothing_else(waylight):
    done = waylight("nonsense", "openapi")
    assert done.exit_code == 0
    assert done.stdout.startswith("openapi: 3.1")
    assert done.stderr == ""


def test_the_doctor_takes_wrong_settings_for_findings_and_looks_at_the_rest(waylight):
    done = waylight(
        "postgresql://nobody@127.0.0.1:1/none", "doctor", "--json", WAYLIGHT_PORT="no-port"
    )
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["well"] is False
    assert [found["what"] for found in told["findings"]] == [
        "settings",
        "database, as intake",
        "database, as staff",
    ]
    assert all(found["problem"] and found["fix"] for found in told["findings"])
    assert "no-port" not in done.stdout


def test_the_doctor_names_settings_without_which_nothing_can_be_seen(waylight):
    done = waylight("nonsense", "doctor")
    assert done.exit_code == 1
    assert "PROBLEM  settings: WAYLIGHT_DATABASE_URL" in done.stdout


@pytest.mark.commits
def test_the_doctor_names_each_problem_with_its_fix_and_ends_with_1(waylight, url, database):
    waylight(url, "load", TINYTOWN)
    with database.owner() as conn:
        conn.execute("update cities set contacts_verified_at = current_date")
    done = waylight(url, "doctor")
    assert done.exit_code == 1
    assert "ok       migrations\n" in done.stdout
    assert "PROBLEM  worker: " in done.stdout
    assert "-> run `waylight worker`" in done.stdout
    with database.intake() as conn:
        conn.execute("insert into worker_heartbeats values ('w', 'h', 1, now(), now())")
    done = waylight(url, "doctor")
    assert done.exit_code == 0
    assert "PROBLEM" not in done.stdout


def test_what_others_have_to_mend_is_a_warning_and_no_failure(waylight, monkeypatch):
    theirs = doctor.Finding("webhooks", "1 are disabled", "tell them", warning=True)
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: [theirs])
    url = "postgresql://nobody@127.0.0.1:1/none"
    done = waylight(url, "doctor")
    assert done.exit_code == 0
    assert "WARNING  webhooks: 1 are disabled\n         -> tell them" in done.stdout
    assert json.loads(waylight(url, "doctor", "--json").stdout)["well"] is True


# --- what runs until it is told to stop


@pytest.fixture
def started():
    """Starts a command in a process of its own; it must end well when it is told to."""
    processes = []

    def start(url, *arguments, **changes):
        process = subprocess.Popen(
            [sys.executable, "-m", "waylight.cli", *arguments],
            env=os.environ | environment_for(url, **changes),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output


@pytest.mark.slow
@pytest.mark.commits
def test_serve_answers_until_it_is_told_to_stop(started, url):
    port = free_port()
    process = started(url, "serve", "--workers", "1", WAYLIGHT_PORT=str(port))

    def answer():
        assert process.poll() is None, process.stdout.read()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/categories") as response:
                return response.status == 200
        except OSError:
            return False

    soon(answer)


@pytest.mark.slow
@pytest.mark.commits
def test_worker_lives_until_it_is_told_to_stop(started, url, database):
    process = started(url, "worker")

    def lives():
        assert process.poll() is None, process.stdout.read()
        with database.intake() as conn:
            return conn.execute("select from worker_heartbeats").fetchone() is not None

    soon(lives)


# --- staff


@pytest.mark.commits
def test_first_administrator_is_made_and_invited_at_the_terminal(waylight, url, database, vault):
    waylight(url, "load", TINYTOWN)
    ada = ["--organisation", "tiny-police", "--name", "Ada Ling", "--email", "ada@tiny.example"]
    made = waylight(url, "staff", "create", *ada)
    assert made.exit_code == 0
    token = made.stdout.strip()
    assert token.startswith("waylight_in_")
    assert token not in made.stderr
    assert "ada@tiny.example" not in made.stderr
    listed = waylight(url, "staff", "list").stdout
    account, organisation, state, factor, roles = listed.split()[:5]
    assert (organisation, state, factor) == ("tiny-police", "invited", "-")
    assert roles == "administrator"
    assert "ada@tiny.example" not in listed

    assert waylight(url, "staff", "create", *ada).exit_code == 1
    now = datetime.now(UTC)
    accounts.accept_invitation(
        database, vault, token=token, password="a long walk by the river", now=now
    )
    given = accounts.SignIn("ada@tiny.example", "a long walk by the river")
    session = accounts.sign_in(
        database, vault, given, network=None, session_s=3600, idle_s=600, now=now
    )
    assert session.must_enrol
    as_written = wire_id("staff", UUID(account))
    assert waylight(url, "staff", "sign-out", as_written).stderr == "1 sessions ended.\n"
    assert waylight(url, "staff", "sign-out", wire_id("key", UUID(account))).exit_code == 2
    assert keys.authenticate(database, vault, session.token, now=now) is None
    again = waylight(url, "staff", "invite", account, "--reset-totp")
    assert again.stdout.startswith("waylight_in_")
    assert waylight(url, "staff", "disable", account).exit_code == 0
    assert "disabled" in waylight(url, "staff", "list").stdout
    assert waylight(url, "staff", "invite", account).exit_code == 1
    assert "waylight_ss_" not in waylight(url, "key", "list").stdout
    assert waylight(url, "key", "list").stdout == ""
    with database.owner() as conn:
        said = conn.execute(
            "select action, staff_id, organisation_id is not null from audit_entries"
            " where subject_id = %s order by at, id",
            [account],
        ).fetchall()
    assert Counter(said) == {
        ("account.created", None, True): 1,
        ("account.invited", None, True): 2,
        ("account.password_set", None, True): 1,
        ("session.ended", None, True): 1,
        ("account.changed", None, True): 1,
    }


@pytest.mark.commits
def test_openid_provider_is_listed_and_disabled_at_the_terminal(waylight, url, database):
    waylight(url, "load", TINYTOWN)
    provider = str(uuid4())
    with database.owner() as conn:
        conn.execute(
            "insert into identity_providers (id, organisation_id, name, issuer, client_id,"
            " key_version, wrapped_key, redirect_uris, scopes, role_mapping, email_domains,"
            " second_factor_values, enabled, created_at, updated_at)"
            " select %s, id, 'Directory', 'https://id.tiny.example', 'waylight', 1, '', '{}', '{}',"
            " '[]', '{}', '{}', true, now(), now() from organisations where key = 'tiny-police'",
            [provider],
        )
    listed = waylight(url, "staff", "providers").stdout.split()
    assert listed == [provider, "tiny-police", "enabled", "https://id.tiny.example", "Directory"]
    assert waylight(url, "staff", "disable-provider", provider).exit_code == 0
    assert "disabled" in waylight(url, "staff", "providers").stdout
    assert waylight(url, "staff", "disable-provider", str(uuid4())).exit_code == 1


@pytest.mark.commits
def test_password_of_an_account_may_come_from_a_file_and_has_to_be_good(waylight, url):
    waylight(url, "load", TINYTOWN)
    ada = ["--organisation", "tiny-police", "--name", "Ada", "--email", "ada@tiny.example"]
    create = ["staff", "create", *ada, "--role", "responder", "--password-stdin"]
    refused = waylight(url, *create, answer="tiny-police-2026\n")
    assert refused.exit_code == 1
    assert "what anybody knows" in refused.stderr
    assert "tiny-police-2026" not in refused.stderr
    assert waylight(url, "staff", "list").stdout == ""
    done = waylight(url, *create, answer="a long walk by the river\n")
    assert (done.exit_code, done.stdout) == (0, "")
    assert " live " in waylight(url, "staff", "list").stdout


@pytest.mark.commits
def test_organisation_is_made_at_the_terminal_once_and_no_pack_takes_it_back(
    waylight, url, database
):
    riders = ["organisation", "create", "--key", "night-riders", "--name", "Night Riders"]
    nowhere = waylight(url, *riders, "--kind", "charity")
    assert nowhere.exit_code == 1
    assert "none is loaded" in nowhere.stderr
    waylight(url, "load", TINYTOWN)
    made = waylight(url, *riders, "--kind", "charity", "--phone", "020 7946 0101")
    assert made.exit_code == 0, made.stderr
    assert made.stdout.startswith("waylight staff create --organisation night-riders")
    assert waylight(url, *riders, "--kind", "charity").exit_code == 1
    for wrong in (["--kind", "army"], ["--kind", "charity", "--key", "Night Riders"]):
        assert waylight(url, *riders, *wrong).exit_code != 0
    ada = ["--organisation", "night-riders", "--name", "Ada", "--email", "ada@riders.example"]
    assert waylight(url, "staff", "create", *ada).exit_code == 0
    with database.owner() as conn:
        conn.execute("update cities set pack_digest = 'another'")
        conn.execute("delete from accounts")
        conn.execute(
            "delete from staff where organisation_id in"
            " (select id from organisations where key = 'night-riders')"
        )
        conn.execute("delete from events where kind like 'organisation.%' or kind like 'account.%'")
    assert waylight(url, "load", TINYTOWN).exit_code == 0
    with database.owner() as conn:
        rows = conn.execute(
            "select name, contact->>'phone' from organisations where key = 'night-riders'"
        ).fetchall()
    assert rows == [("Night Riders", "020 7946 0101")]
