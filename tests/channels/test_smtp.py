import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests import providers
from waylight.channels import open_channels
from waylight.channels.carried import Letter
from waylight.channels.smtp import Smtp
from waylight.domain.alerts import Message, Outcome, Result, Target
from waylight.messages import word

MAILBOX = "on.call@police.example"
MESSAGE = Message(
    delivery_id=UUID(int=7),
    alert_id=UUID(int=2),
    attempt=1,
    channel="email",
    kind="alert.created",
    recipient="First",
    priority=1,
    category_groups=("pursuit",),
    exercise=False,
    link="https://waylight.example/v1/alerts/alert_1",
    target=Target(UUID(int=3), {"email": MAILBOX}),
)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """What the server shows and what the client trusts, for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=path)


def carrier(server, *, security="none", trusting=None, user=None, password=None):
    return Smtp(
        host="localhost" if security != "none" else "127.0.0.1",
        port=server.port,
        security=security,
        user=user,
        password=password,
        sender="alerts@waylight.example",
        tls=trusting,
    )


def carry(smtp, message=MESSAGE):
    letter = Letter(message, MAILBOX, word(message, "en", replies=False))
    return smtp.carry(letter, within_s=60.0)


def test_mail_server_takes_a_message_that_no_machine_answers(settings):
    with providers.mail() as server:
        channel = open_channels(
            replace(
                settings,
                channels=("email",),
                email_providers=("smtp",),
                smtp_host="127.0.0.1",
                smtp_port=server.port,
                smtp_security="none",
                email_from="alerts@waylight.example",
            )
        )["email"]
        outcome = channel.send(MESSAGE)
    reference = "<delivery-00000000000000000000000000000007@waylight.example>"
    assert outcome == Outcome(Result.SENT, provider="smtp", provider_ref=reference)
    (mail,) = server.received
    assert server.envelopes == [("alerts@waylight.example", [MAILBOX])]
    assert (mail["To"], mail["From"]) == (MAILBOX, "alerts@waylight.example")
    assert mail["Message-ID"] == reference
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Subject"] == "URGENT: being followed"
    assert MESSAGE.link in mail.get_content()


def test_second_attempt_has_the_message_id_of_the_first():
    with providers.mail() as server:
        for attempt in (1, 2):
            carry(carrier(server), replace(MESSAGE, attempt=attempt))
    assert len({mail["Message-ID"] for mail in server.received}) == 1


def test_arabic_arrives_as_it_was_written():
    with providers.mail() as server:
        letter = Letter(MESSAGE, MAILBOX, word(MESSAGE, "ar", replies=False))
        assert carrier(server).carry(letter, within_s=60.0).result is Result.SENT
    (mail,) = server.received
    assert mail["Subject"] == "عاجل: ملاحقة"
    assert "اقرأ وأجب" in mail.get_content()
    assert mail["Content-Language"] == "ar"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_line_is_encrypted_before_the_login(tls, security):
    shown, trusted = tls
    with providers.mail(tls=shown, security=security, login=True) as server:
        smtp = carrier(server, security=security, trusting=trusted, user="me", password="right")
        assert carry(smtp).result is Result.SENT
    assert server.logins == [(b"me", b"right")]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_certificate_that_nobody_signed_is_not_believed(tls, security):
    shown, _ = tls
    with providers.mail(tls=shown, security=security, login=True) as server:
        smtp = carrier(server, security=security, user="me", password="right")
        assert carry(smtp) == Outcome(Result.FAILED, "SSLCertVerificationError")
    assert server.logins == []


def test_server_without_starttls_gets_neither_login_nor_message():
    with providers.mail() as server:
        smtp = carrier(server, security="starttls", user="me", password="right")
        assert carry(smtp) == Outcome(Result.FAILED, "no_starttls")
    assert (server.received, server.logins) == ([], [])


def test_wrong_password_is_the_operator_s_to_mend(tls):
    shown, trusted = tls
    with providers.mail(tls=shown, security="starttls", login=True) as server:
        smtp = carrier(server, security="starttls", trusting=trusted, user="me", password="wrong")
        assert carry(smtp) == Outcome(Result.FAILED, "login_refused")


@pytest.mark.parametrize(
    ("said", "result", "detail"),
    [
        (f"550 5.1.1 <{MAILBOX}>: no such user", Result.GONE, "no_such_mailbox"),
        (f"550 5.7.1 <{MAILBOX}> rejected", Result.REFUSED, "smtp_550"),
        (f"450 4.2.0 <{MAILBOX}> greylisted", Result.FAILED, "smtp_450"),
        ("452 4.2.2 mailbox full", Result.FAILED, "smtp_452"),
    ],
)
def test_what_a_mail_server_says_of_a_mailbox_is_believed_and_never_quoted(said, result, detail):
    with providers.mail() as server:
        server.refuse = said
        assert carry(carrier(server)) == Outcome(result, detail)


def test_message_that_the_server_does_not_like_may_go_by_another_provider():
    with providers.mail() as server:
        server.refuse_data = "554 5.7.0 looks like spam"
        assert carry(carrier(server)) == Outcome(Result.FAILED, "smtp_554")


def test_mail_server_that_is_not_there_is_a_failure_that_may_pass():
    with providers.mail() as server:
        pass
    assert carry(carrier(server)) == Outcome(Result.FAILED, "ConnectionRefusedError")
