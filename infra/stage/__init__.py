"""A deployed stage: its names, URLs, settings and secrets, and the one place for AWS clients and AWS errors."""
