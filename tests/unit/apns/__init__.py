"""Tests of the push client, with the stand-in for APNs."""
