"""Devices of this account, and what follows from a newer list of anybody's."""
