import base64
import re
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.receivers import certificate
from waylight.cli.documents import COMPOSE_SETTINGS, SCRIPT_SETTINGS
from waylight.config import ConfigurationError, Settings, declared

ROOT = Path(__file__).resolve().parent.parent
KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.urlsafe_b64encode(bytes(range(220, 252))).decode()
RIGHT = {
    "WAYLIGHT_DATABASE_URL": "postgresql://admin:secret@db.example:5433/waylight?sslmode=require",
    "WAYLIGHT_VAULT_KEYS": f"1:{KEY}",
    "WAYLIGHT_RECEIPT_KEYS": f"1:{KEY}",
}


def settings(**changes: str) -> Settings:
    return Settings.from_environment(RIGHT | {f"WAYLIGHT_{k}": v for k, v in changes.items()})


def problems(**changes: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        settings(**changes)
    return caught.value.problems


def test_defaults_are_those_of_production():
    found = settings()
    assert found.profile == "production"
    assert (found.host, found.port, found.base_url) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert not found.exempt_loopback
    assert found.channels == ("console",)
    assert found.default_city is None


def test_all_problems_are_listed_at_once():
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environment(
            {
                "WAYLIGHT_PORT": "80000",
                "WAYLIGHT_PROFILE": "prod",
                "WAYLIGHT_POOL_SIZE": "many",
                "WAYLIGHT_DATABASE_TIMEOUT_S": "nan",
                "WAYLIGHT_VAULT_KEYS": "1:short",
            }
        )
    named = {problem.split()[0] for problem in caught.value.problems}
    assert named == {
        "WAYLIGHT_PORT",
        "WAYLIGHT_PROFILE",
        "WAYLIGHT_POOL_SIZE",
        "WAYLIGHT_DATABASE_TIMEOUT_S",
        "WAYLIGHT_VAULT_KEYS",
        "WAYLIGHT_RECEIPT_KEYS",
        "WAYLIGHT_INTAKE_URL",
        "WAYLIGHT_STAFF_URL",
    }
    assert all(problem in str(caught.value) for problem in caught.value.problems)


def test_role_addresses_are_derived_with_passwords_of_their_own():
    found = settings()
    intake, staff = conninfo_to_dict(found.intake_url), conninfo_to_dict(found.staff_url)
    assert (intake["user"], staff["user"]) == ("waylight_intake", "waylight_staff")
    assert len({intake["password"], staff["password"], "secret"}) == 3
    for key in ("host", "port", "dbname", "sslmode"):
        assert intake[key] == conninfo_to_dict(found.database_url or "")[key]


def test_role_passwords_stay_when_a_newer_key_is_added():
    assert settings().intake_url == settings(VAULT_KEYS=f"2:{OTHER},1:{KEY}").intake_url
    assert settings().intake_url != settings(VAULT_KEYS=f"2:{OTHER}").intake_url


def test_given_role_addresses_are_kept_and_need_no_administrator():
    addresses = {
        "INTAKE_URL": "postgresql://a@h/d",
        "STAFF_URL": "postgresql://b@h/d",
        "DATABASE_URL": "",
    }
    found = settings(**addresses)
    assert found.database_url is None
    assert (found.intake_url, found.staff_url) == ("postgresql://a@h/d", "postgresql://b@h/d")


def test_both_alphabets_of_base64_are_read():
    assert settings(VAULT_KEYS=f"7:{OTHER}").vault_keys == {7: bytes(range(220, 252))}


@pytest.mark.parametrize(
    "keys",
    [
        "nonsense",
        f"0:{KEY}",
        f"32768:{KEY}",
        f"1:{KEY},1:{OTHER}",
        f"1:{KEY},",
        f"-1:{KEY}",
        f"1:{KEY[:20]}",
        f"\u0661:{KEY}",  # an Arabic 1, which int() takes
        "1:" + base64.b64encode(bytes(33)).decode(),
    ],
)
def test_unfit_keys_are_refused_without_being_quoted(keys: str):
    (problem,) = problems(VAULT_KEYS=keys)
    assert problem.startswith("WAYLIGHT_VAULT_KEYS")
    assert KEY[:20] not in problem


def test_loopback_is_exempt_only_outside_production():
    assert problems(EXEMPT_LOOPBACK="1")[0].startswith("WAYLIGHT_EXEMPT_LOOPBACK")
    assert settings(EXEMPT_LOOPBACK="1", PROFILE="demo").exempt_loopback
    assert problems(EXEMPT_LOOPBACK="perhaps")[0].startswith("WAYLIGHT_EXEMPT_LOOPBACK")


def test_an_address_that_is_none_is_refused_once():
    assert len(problems(DATABASE_URL="mysql://nowhere")) == 1
    assert len(problems(INTAKE_URL="host")) == 1


def test_secrets_are_not_in_the_repr():
    text = repr(settings())
    assert "secret" not in text
    assert "password" not in text
    assert repr(bytes(range(32))) not in text


def test_an_ipv6_host_stands_in_brackets_in_the_base_url():
    assert settings(HOST="::1", PORT="9000").base_url == "http://[::1]:9000"


def test_names_of_channels_are_split_and_kept_once():
    assert settings(CHANNELS=" console, webhook,console ").channels == ("console", "webhook")
    assert problems(CHANNELS="Console!")[0].startswith("WAYLIGHT_CHANNELS")


def test_every_default_is_a_value_that_could_be_typed():
    typed = {name: one.default for name, one in declared().items() if one.default}
    assert Settings.from_environment(RIGHT | typed) == settings()
    assert all(one.default or one.unset or one.required for one in declared().values())


@pytest.mark.parametrize("name", ["HOST", "PORT", "WORKERS"])
def test_what_gunicorn_reads_before_the_settings_has_the_same_default(name):
    default = declared()[f"WAYLIGHT_{name}"].default
    text = (ROOT / "gunicorn.conf.py").read_text(encoding="utf-8")
    assert f'os.environ.get("WAYLIGHT_{name}", "{default}")' in text


def test_every_variable_that_the_product_reads_is_declared():
    read = {
        name
        for folder in ("waylight", "api", "schemas")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"WAYLIGHT_[A-Z]\w+", path.read_text(encoding="utf-8"))
    } | set(re.findall(r"WAYLIGHT_[A-Z]\w+", (ROOT / "gunicorn.conf.py").read_text("utf-8")))
    assert read <= {*declared(), *SCRIPT_SETTINGS, *COMPOSE_SETTINGS}


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("", ()),
        ("https://desk.example", ("https://desk.example",)),
        (
            "https://desk.example/, http://localhost:3000,http://[::1]:8,",
            ("https://desk.example", "http://localhost:3000", "http://[::1]:8"),
        ),
    ],
)
def test_origins_of_pages_are_split(given, origins):
    assert settings(ALLOWED_ORIGINS=given).allowed_origins == origins


@pytest.mark.parametrize(
    "given",
    ["*", "null", "desk.example", "https://*.example", "https://a.example/path", "https://"],
)
def test_what_is_no_origin_is_refused(given):
    assert problems(ALLOWED_ORIGINS=given)[0].startswith("WAYLIGHT_ALLOWED_ORIGINS must be origins")


def test_ports_of_loopback_are_allowed_only_outside_production():
    assert settings().allowed_loopback_ports == ()
    allowed = settings(ALLOWED_LOOPBACK_PORTS=" 4010, 4011,4010 ", PROFILE="demo")
    assert allowed.allowed_loopback_ports == (4010, 4011)
    variable = "WAYLIGHT_ALLOWED_LOOPBACK_PORTS"
    for ports, profile in (("4010", "production"), ("0", "demo"), ("70000", "demo"), ("*", "demo")):
        (problem,) = problems(ALLOWED_LOOPBACK_PORTS=ports, PROFILE=profile)
        assert problem.startswith(variable)


def test_networks_of_identity_providers_are_named_narrowly_or_refused():
    assert settings().openid_networks == ()
    named = settings(OPENID_NETWORKS=" 10.20.0.0/16, 10.20.0.0/16,fd12:3456:789a::/48,10.9.8.7")
    assert [str(one) for one in named.openid_networks] == [
        "10.20.0.0/16",
        "fd12:3456:789a::/48",
        "10.9.8.7/32",
    ]
    for wrong, why in (
        ("10.20.0.1/16", "must be networks"),
        ("10.20.0.0/16 fd00::/8", "must be networks"),
        ("id.corp.internal", "must be networks"),
        ("10.20.0.0/16,169.254.0.0/16", "must not hold loopback, link-local"),
        ("0.0.0.0/0", "must not hold loopback"),
        ("::/0", "must not hold loopback"),
        ("127.0.0.0/8", "must not hold loopback"),
        ("ff00::/8", "must not hold loopback"),
    ):
        (problem,) = problems(OPENID_NETWORKS=wrong)
        assert problem.startswith(f"WAYLIGHT_OPENID_NETWORKS {why}"), wrong
        assert "such as 10.20.0.0/16" in problem or "10.20.0.0/16,fd12" in problem


def test_authorities_of_identity_providers_are_a_file_of_certificates_or_refused(tmp_path):
    assert settings().openid_authorities is None
    _, authority = certificate(tmp_path, "id.corp.internal")
    assert settings(OPENID_AUTHORITIES=authority).openid_authorities == authority
    empty, key = tmp_path / "empty.pem", tmp_path / "receiver.key"
    empty.write_text("# nothing yet\n")
    for wrong, why in (
        (tmp_path / "nowhere.pem", "cannot be read"),
        (tmp_path, "cannot be read"),
        (empty, "holds no certificate"),
        (key, "holds no certificate"),
    ):
        (problem,) = problems(OPENID_AUTHORITIES=str(wrong))
        assert problem.startswith(f"WAYLIGHT_OPENID_AUTHORITIES {why}"), wrong
        assert str(tmp_path) not in problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NOTIFY_API_KEY", "secret-key"),
        ("NOTIFY_TEMPLATES", "sms"),
        ("NOTIFY_TEMPLATES", "fax:1f2e3d4c-5b6a-4789-8abc-def012345678"),
        ("NOTIFY_TEMPLATES", "sms:1"),
        ("NOTIFY_CALLBACK_TOKEN", "short"),
        ("NOTIFY_URL", "http://api.example"),
        ("TWILIO_URL", "https://user:password@api.example"),
        ("TWILIO_URL", "https://api.example/path"),
        ("TWILIO_URL", "http://127.0.0.1.evil.example"),
        ("SMTP_SECURITY", "ssl"),
        ("SMTP_PORT", "0"),
        ("EMAIL_FROM", "Alerts <a@b.example>"),
        ("EMAIL_FROM", "a@b.example\nBcc: c@d.example"),
        ("SMS_REPLIES", "maybe"),
        ("SMS_PROVIDERS", "Notify!"),
    ],
)
def test_setting_of_a_provider_that_cannot_be_right_is_named_and_not_quoted(name, value):
    (problem,) = problems(**{name: value})
    assert problem.startswith(f"WAYLIGHT_{name} ")
    assert value not in problem or len(value) < 8


def test_settings_of_providers_are_read():
    found = settings(
        SMS_PROVIDERS="notify, twilio",
        NOTIFY_TEMPLATES="sms:1f2e3d4c-5b6a-4789-8abc-def012345678,"
        "sms.alert.created.es:2f2e3d4c-5b6a-4789-8abc-def012345678",
        TWILIO_URL="http://127.0.0.1:9/",
    )
    assert found.sms_providers == ("notify", "twilio")
    assert set(found.notify_templates) == {"sms", "sms.alert.created.es"}
    assert (found.twilio_url, found.email_providers) == ("http://127.0.0.1:9", ())
    assert "secret" not in repr(settings(TWILIO_AUTH_TOKEN="secret", SMTP_PASSWORD="secret"))
