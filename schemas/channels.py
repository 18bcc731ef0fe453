"""What providers of messages send us. What we do not read, such as a number, is not kept."""

from marshmallow import EXCLUDE, Schema, fields, validate

REF = r"^[A-Za-z0-9_-]{1,64}\Z"


class _Told(Schema):
    """Providers add fields when they like."""

    class Meta:
        unknown = EXCLUDE


def _ref(**how: str) -> fields.String:
    return fields.String(
        required=True,
        validate=validate.Regexp(REF, error="This must be the id of a message."),
        metadata={
            "description": "What the provider calls the message.",
            "pattern": REF[:-2] + "$",
            "maxLength": 64,
        },
        **how,  # type: ignore[arg-type] # the one keyword is data_key
    )


def _text(most: int, **how: str) -> fields.String:
    return fields.String(
        required=True,
        validate=validate.Length(max=most),
        **how,  # type: ignore[arg-type] # the same
    )


class NotifyReceiptIn(_Told):
    """A delivery receipt of GOV.UK Notify."""

    id = _ref()
    status = _text(64)

    example = {"id": "740e5834-3a29-46b4-9a6f-16142fde533a", "status": "delivered"}


class NotifyAnswerIn(_Told):
    """A text message that GOV.UK Notify received."""

    id = _ref()
    source_number = _text(40)
    message = _text(4000)

    example = {
        "id": "740e5834-3a29-46b4-9a6f-16142fde533a",
        "source_number": "447700900123",
        "message": "ACK 4F7K",
    }


class TwilioStatusIn(_Told):
    """A status callback of Twilio."""

    ref = _ref(data_key="MessageSid")
    status = _text(64, data_key="MessageStatus")


class TwilioAnswerIn(_Told):
    """A text message that Twilio received."""

    ref = _ref(data_key="MessageSid")
    sender = _text(40, data_key="From")
    text = _text(4000, data_key="Body")
