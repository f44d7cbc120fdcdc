"""Backups: writes a stage's data to one file while the service runs, and restores it without losing an update.

A backup contains the four tables, the current templates and the images of passes. It contains no secrets, so that a
leaked backup does not allow anyone to authenticate as a phone or to sign passes. Keep authentication keys and
certificates elsewhere.

Theory of operation
-------------------
A backup is not a snapshot: tables are read one after the other while phones and pipelines continue to write. It
contains everything that existed when it began. Of a change made meanwhile it may contain only one half, and each half
is harmless: pushes skip a registration without a device row, and list calls skip a device row that names a pass without
a registration. For a snapshot, restore all tables to one point in time with DynamoDB's own recovery, and back those
tables up (`docs/guides/backup.md`).

A restore must not leave phones believing that they are up to date (`chalicelib/updates/protocol.py`):

1. Versions are restored first, and never replace a later stamp. A restored pass is therefore stamped as changed, not as
   first issued (first issues are not pushed). A version that was lost gets a stamp one minute after the restore, since
   phones may have seen later stamps than the backup contains.
2. Passes are restored next. The stream stamps each pass whose content differs from the table's with the time of the
   restore, which is later than every stamp and every tag that phones have, and notifies the phones: they fetch the
   restored pass.
3. Registrations are restored last, since the registrations of a pass that does not exist may be in the middle of being
   removed. A registration that was lost is created as a phone creates it: with the time of the restore, so that the
   removal of the former registration does not apply to it and the next list call names the pass, and with a push to
   its device, which the stream may have missed. Registrations that phones have made meanwhile are kept.

Every write can be repeated, so an interrupted restore is simply started again.
"""
