"""Output to the terminal, moments in time and private files, for every package of infra."""
