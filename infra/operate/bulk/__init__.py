"""Imports passes from files and exports them to files."""
