"""Why a store cannot be opened, made, migrated, backed up or restored."""

__all__ = ["StoreInUse", "StoreProblem"]


class StoreProblem(Exception):
    """One clear sentence for the person who runs the server: what is wrong with the store and what to do about it."""


class StoreInUse(StoreProblem):
    """Another process holds the store, and this kind of store serves one."""
