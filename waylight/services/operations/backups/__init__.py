"""Backups of a whole deployment, and bringing one back.

A backup is one pg_dump in custom format, not a pg_basebackup, because

- it is one file of one database that any newer PostgreSQL and PostGIS can take, on any machine and
  at any host of managed databases; a base backup is the files of a whole server, and fits only the
  same major version;
- it needs the login that migrates, and no right to replicate;
- it holds no role and no password, where a base backup holds all of the server's;
- it comes back in one transaction, checked before it is committed.

Its price: what was accepted after the last backup is not in it. Where that is too much, the server
archives its log besides (continuous archiving), which is a setting of PostgreSQL and none of ours.

No key is in a backup. It names the keys that it needs, by version and fingerprint.
"""

from waylight.services.operations.backups.archive import BackupDamaged, Manifest
from waylight.services.operations.backups.restoring import Restored, check, drill, restore
from waylight.services.operations.backups.taking import back_up

__all__ = ["BackupDamaged", "Manifest", "Restored", "back_up", "check", "drill", "restore"]
