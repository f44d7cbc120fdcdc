"""The update protocol: stamps and tags, what changed, and the push tasks that follow. Pure: no I/O, no clock."""
