"""Implement the command `tier train`."""
