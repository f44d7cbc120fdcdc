"""The numbers of devices, and the lengths of outages, that the scenarios share."""

FEW = 40
MANY = 700
VERY_MANY = 2500
"""Too many for the push tasks of one batch of the worker, in which each device would get one push."""
SLOW = 40.0
"""Devices per second of the paced scenarios: over a minute for VERY_MANY."""
HOUR = 3600.0
DAY = 24 * HOUR
