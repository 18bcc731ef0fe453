"""Who looked at what and who changed what: written, sealed into a chain, verified, read."""

from waylight.services.audit.reading import AuditEntry, Filters, export_entries, list_entries
from waylight.services.audit.sealing import ChainBroken, checkpoint_of, seal
from waylight.services.audit.verifying import Verdict, verify, verify_newest
from waylight.services.audit.writing import tell, write, write_first_looks

__all__ = [
    "AuditEntry",
    "ChainBroken",
    "Filters",
    "Verdict",
    "checkpoint_of",
    "export_entries",
    "list_entries",
    "seal",
    "tell",
    "verify",
    "verify_newest",
    "write",
    "write_first_looks",
]
