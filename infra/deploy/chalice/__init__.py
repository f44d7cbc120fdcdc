"""Deploying with `chalice deploy`: what `prepare` writes before it and `finish` sets after it."""
