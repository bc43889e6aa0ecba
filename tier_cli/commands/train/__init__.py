"""The command `tier train`."""
