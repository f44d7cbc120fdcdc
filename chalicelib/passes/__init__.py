"""Apple Wallet passes: the format, and what makes a pass of it. Pure: no I/O, no clock."""
