"""Alembic's folder: `env.py` runs the revisions in `versions` on the connection that `version.py` hands over.

A new revision is a new file in `versions` whose `down_revision` is the newest one. Going back is not offered: a backup
is. A test holds the result against `schema.py`.
"""
