"""City packs: reading their files, and loading one into the database."""

from waylight.services.packs.loading import Counts, LoadReport, load_pack
from waylight.services.packs.shapes import Rejected

__all__ = ["Counts", "LoadReport", "Rejected", "load_pack"]
