"""The example report of the specification and the documents: one person, one night, one tunnel."""

import json
from pathlib import Path
from typing import Any

REPORT_EXAMPLE: dict[str, Any] = {
    "categories": ["being_followed", "spiking_drink"],
    "happening": "now",
    "occurred": {
        "from": "2026-11-21T23:10:00Z",
        "to": "2026-11-21T23:40:00Z",
        "estimated": True,
    },
    "recorded_at": "2026-11-21T23:41:03Z",
    "sent_at": "2026-11-21T23:52:40Z",
    "location": {
        "point": {"type": "Point", "coordinates": [-0.1426, 51.5390]},
        "accuracy_m": 25,
        "method": "gnss",
        "fixed_at": "2026-11-21T23:41:00Z",
        "stop_id": "940GZZLUCTN",
        "description": "southbound platform, near the stairs",
    },
    "journey": {
        "mode": "tube",
        "route_id": "northern",
        "direction": "southbound",
        "vehicle_id": "123",
        "carriage": "4",
        "boarded_stop_id": "940GZZLUCTN",
        "next_stop_id": "940GZZLUMTC",
    },
    "perspective": "experienced",
    "in_danger": True,
    "hurt_or_unwell": False,
    "weapon_seen": False,
    "person_nearby": True,
    "under_18": False,
    "wants": ["help", "hub"],
    "needs": ["step_free"],
    "share_with": ["operator"],
    "narrative": "A man has followed me since the bar and my drink tasted salty. I feel dizzy.",
    "description_of_person": "dark coat, grey rucksack",
    "contact": {
        "phone": "+447700900123",
        "email": None,
        "safe_times": "after 18:00",
        "voicemail_ok": False,
    },
    "language": "en",
    "exercise": False,
}

REPORT_ANSWER_EXAMPLE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "answer.json").read_text(encoding="utf-8")
)
"""What the London demo answered to it at that very minute."""
