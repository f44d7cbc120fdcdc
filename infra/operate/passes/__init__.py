"""Issuing, changing and showing single passes."""
