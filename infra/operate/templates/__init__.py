"""Designers' templates before they are stored: read from a folder, checked against Apple's format, pushed, pulled."""
