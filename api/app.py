"""The app: one factory that puts the front door together."""

import os
import re
import uuid
from collections.abc import Callable
from functools import wraps

from flask import Flask, Response, current_app, g, request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as AnyResponse

from api import (
    account,
    addresses,
    alerts,
    analysed_reports,
    arrivals,
    audit,
    categories,
    channels,
    check_ins,
    clients,
    consents,
    coverages,
    dry_runs,
    grants,
    health,
    hubs,
    identity_providers,
    incidents,
    metrics,
    oauth,
    openid,
    organisations,
    places,
    push,
    redactions,
    reference,
    reports,
    root,
    sessions,
    shared_reports,
    shifts,
    staff,
    stream,
    support,
    teams,
    webhooks,
)
from api.wire import headers, limits, observe
from api.wire.auth import LastKnown
from api.wire.blueprint import WireIdConverter
from api.wire.compression import Compression
from api.wire.cors import Cors, Pages
from api.wire.document import WaylightApi
from api.wire.json import CompactProvider
from api.wire.negotiation import check_accept
from api.wire.paths import OneAddress, check_host
from schemas.common import LANGUAGE
from waylight import telemetry, texts
from waylight.config import Settings
from waylight.log import bind_request, configure_logging, get_logger
from waylight.services.clock import Clock
from waylight.services.context import Waylight, open_waylight
from waylight.services.hints import Hints
from waylight.services.operations.health import Readiness
from waylight.services.operations.metrics import Scrape

log = get_logger(__name__)

BLUEPRINTS = (
    root.blueprint,
    hubs.blueprint,
    places.blueprint,
    categories.blueprint,
    reports.blueprint,
    alerts.blueprint,
    arrivals.blueprint,
    incidents.blueprint,
    redactions.blueprint,
    teams.blueprint,
    shifts.blueprint,
    check_ins.blueprint,
    push.blueprint,
    health.blueprint,
    metrics.blueprint,
    reference.blueprint,
    stream.blueprint,
    webhooks.blueprint,
    addresses.blueprint,
    channels.blueprint,
    audit.blueprint,
    sessions.blueprint,
    account.blueprint,
    staff.blueprint,
    clients.blueprint,
    oauth.blueprint,
    coverages.blueprint,
    organisations.blueprint,
    dry_runs.blueprint,
    identity_providers.blueprint,
    openid.blueprint,
    consents.blueprint,
    analysed_reports.blueprint,
    shared_reports.blueprint,
    support.blueprint,
    grants.blueprint,
)

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)


def create_app(settings: Settings | None = None, *, context: Waylight | None = None) -> Flask:
    """The WSGI app. Connects to nothing; raises ConfigurationError when the settings are wrong.

    Without settings they come from the environment, and so does the level of the log. `context`
    is for callers that hold a database already.
    """
    if settings is None:
        settings = Settings.from_environment(os.environ)
        configure_logging(settings.log_level)
        telemetry.start("waylight-api", os.environ)
    app = Flask("waylight", static_folder=None)
    app.json = CompactProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = settings.report_size_limit
    app.url_map.converters["wire_id"] = WireIdConverter
    app.extensions["waylight"] = context or open_waylight(settings)
    app.extensions["waylight.limiter"] = limits.Limiter(exempt_loopback=settings.exempt_loopback)
    app.extensions["waylight.last_known"] = LastKnown()
    app.extensions["waylight.pages"] = Pages()
    app.extensions["waylight.readiness"] = Readiness()
    app.extensions["waylight.feed"] = stream.open_feed(
        app.extensions["waylight"], app.extensions["waylight.readiness"]
    )
    app.extensions["waylight.scrape"] = Scrape()
    app.extensions["waylight.hints"] = Hints(app.extensions["waylight"].database)
    app.extensions["waylight.clock"] = Clock(app.extensions["waylight"].database)
    app.before_request(_begin)
    app.before_request(check_host)
    app.before_request(check_accept)
    # The first to be registered runs last.
    for finish in (
        observe.end,
        _nudge,
        Compression(app).compress,
        Cors(app, allowed_origins=settings.allowed_origins).allow,
        limits.announce,
        headers.finish,
    ):
        app.after_request(_at_no_price(finish))
    api = WaylightApi(app)
    for blueprint in BLUEPRINTS:
        api.register_blueprint(blueprint)
    app.extensions["waylight.api"] = api
    app.wsgi_app = OneAddress(app.wsgi_app, app.url_map)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        # Believes only what our own proxies wrote: anybody can send X-Forwarded-For.
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    return app


def _at_no_price(
    finish: Callable[[Response], AnyResponse],
) -> Callable[[Response], AnyResponse]:
    """The same, but the answer as it was where it breaks: the report in it is committed by now."""

    @wraps(finish)
    def finish_if_possible(response: Response) -> AnyResponse:
        try:
            return finish(response)
        except Exception:
            log.exception("answer_unfinished", lacking=finish.__qualname__)
            return response

    return finish_if_possible


def _nudge(response: Response) -> Response:
    """Wakes the workers after anything that may have given them work."""
    if request.method not in ("GET", "HEAD", "OPTIONS") and response.status_code < 400:
        current_app.extensions["waylight.hints"].nudge()
    return response


def _begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
    bind_request(g.request_id)
    observe.begin()
    LANGUAGE.set(texts.choose(request.headers.get("Accept-Language"), None))
