"""Policies: networks that see and read, and what they have in common."""
