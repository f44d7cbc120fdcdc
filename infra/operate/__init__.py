"""Operates a deployed stage: passes, templates, certificates, pushes, logs, backups, and the doctor."""
