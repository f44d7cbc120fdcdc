"""The update protocol: stamps and tags, changes, fan-outs, removals and push tasks. Pure: no I/O, no clock."""
