"""Inviting, becoming somebody, joining with the account that there is."""
