"""The tables as SQLAlchemy sees them, for the cold paths; migrations are what makes them.

A test compares the two. None of these objects leaves a service.
"""

from waylight.db.models.accounts import (
    Account,
    SignedIn,
    SignInAttempts,
    SignInPolicy,
    SignInSalt,
)
from waylight.db.models.alerts import (
    Address,
    Alert,
    Delivery,
    DeliveryAttempt,
    Engagement,
    HubArrival,
)
from waylight.db.models.base import Base
from waylight.db.models.check_ins import CheckIn, CheckInDefault
from waylight.db.models.cities import Area, AreaPart, City, Line, LineStop, Place
from waylight.db.models.drills import Drill
from waylight.db.models.events import (
    AuditEntry,
    AuditPosition,
    AuditSeal,
    Event,
    EventSequencer,
    WorkerHeartbeat,
)
from waylight.db.models.identity_providers import Identity, IdentityProvider, SpentSignIn
from waylight.db.models.incidents import Incident, IncidentNote, IncidentParty
from waylight.db.models.notices import ProviderNotice
from waylight.db.models.organisations import (
    AccessToken,
    ApiKey,
    Coverage,
    Hub,
    HubOverride,
    Organisation,
    Shift,
    StaffMember,
    Team,
)
from waylight.db.models.reports import (
    Grant,
    IdempotencyKey,
    PastGrant,
    Receipt,
    Report,
    ReportRedaction,
    ReportSecret,
)
from waylight.db.models.stream import StreamTicket
from waylight.db.models.support import SupportCase, SupportNote
from waylight.db.models.webhooks import Webhook, WebhookCursor

__all__ = [
    "AccessToken",
    "Account",
    "Address",
    "Alert",
    "ApiKey",
    "Area",
    "AreaPart",
    "AuditEntry",
    "AuditPosition",
    "AuditSeal",
    "Base",
    "CheckIn",
    "CheckInDefault",
    "City",
    "Coverage",
    "Delivery",
    "DeliveryAttempt",
    "Drill",
    "Engagement",
    "Event",
    "EventSequencer",
    "Grant",
    "Hub",
    "HubArrival",
    "HubOverride",
    "IdempotencyKey",
    "Identity",
    "IdentityProvider",
    "Incident",
    "IncidentNote",
    "IncidentParty",
    "Line",
    "LineStop",
    "Organisation",
    "PastGrant",
    "Place",
    "ProviderNotice",
    "Receipt",
    "Report",
    "ReportRedaction",
    "ReportSecret",
    "Shift",
    "SignInAttempts",
    "SignInPolicy",
    "SignInSalt",
    "SignedIn",
    "SpentSignIn",
    "StaffMember",
    "StreamTicket",
    "SupportCase",
    "SupportNote",
    "Team",
    "Webhook",
    "WebhookCursor",
    "WorkerHeartbeat",
]
