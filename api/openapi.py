"""The OpenAPI document as a file: generated from the routes, committed, proved true by tests."""

import base64
from typing import Any

import yaml
from flask import Flask

from api.app import create_app
from api.wire.document import WaylightApi
from waylight.config import Settings

_NO_KEYS = f"1:{base64.b64encode(bytes(32)).decode()}"
"""The document needs an app, and an app needs keys; these open nothing."""


class _Dumper(yaml.SafeDumper):
    """Without anchors: a reader should not have to look for what `*id001` was."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - as PyYAML declares it
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_Dumper.add_representer(str, _text)


def openapi_yaml() -> str:
    """`openapi.yaml`, the same text for the same code. Needs no settings and no database."""
    return yaml.dump(
        openapi_document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )


def openapi_document() -> dict[str, Any]:
    """The same as plain dicts and lists."""
    api: WaylightApi = documented_app().extensions["waylight.api"]
    return api.document()


def documented_app() -> Flask:
    """The app with all its routes, in front of nothing: to be read, not called."""
    settings = Settings.from_environment(
        {
            "WAYLIGHT_PROFILE": "test",
            "WAYLIGHT_DATABASE_URL": "postgresql://localhost/waylight",
            "WAYLIGHT_VAULT_KEYS": _NO_KEYS,
            "WAYLIGHT_RECEIPT_KEYS": _NO_KEYS,
        }
    )
    return create_app(settings)
