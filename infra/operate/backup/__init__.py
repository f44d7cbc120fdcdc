"""Backups: a stage's data in one file, taken while the service runs, and brought back so that no update is lost.

What is in it: the four tables and the current templates. What is not: secrets. Whoever has a backup must not be able to
let phones in or to sign passes; keep authentication keys and certificates elsewhere.

Theory of operation
-------------------
A backup is no snapshot: tables are read one after the other while phones and pipelines go on. It holds what was there
when it began; of what changes meanwhile, it may hold one half. Each half is harmless: a registration without its device
row is passed over by pushes, and a device row that names a pass without a registration is passed over by list calls.
For a snapshot, restore all tables to one point in time with AWS's own means, and take the backup of those
(`docs/guides/backup.md`).

What is restored must not make phones believe that they are up to date (`chalicelib/updates/protocol.py`):

1. Versions come first, and never replace a later stamp. So a pass that comes back is stamped as changed once more, and
   not as first issued, which would wake nobody. One that was lost gets a stamp a minute after the restore, since
   phones may have seen later stamps than the backup has.
2. Passes come next. The stream stamps each whose content is another than what is there with the time of the restore,
   which is later than every stamp and every tag that phones hold, and wakes the phones: they fetch what was restored.
3. Registrations come last, since those of a pass that is not there may just be being forgotten. One that was lost is
   made anew as a phone makes it: with the time of the restore, so that whoever forgets the former one does not mean it
   and the next list call names the pass, and with a push to its device, which the stream may have missed. What phones
   have registered meanwhile stays.

Every write can be repeated, so a restore that was interrupted is begun again.
"""
