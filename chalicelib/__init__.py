"""The service: what runs inside the Lambdas. Imports point one way: flows -> borders -> domain."""

import gc

gc.set_threshold(200_000)
"""A cold start makes over a hundred thousand objects that live as long as the sandbox. To look for garbage among them
at every 700 new ones, as Python does by itself, takes a seventh of it. So much garbage is some 50 MB at most.
"""
