"""The chain of schema revisions, one for every database: Alembic, on a connection that is given."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

__all__ = ["MIGRATIONS", "known_revisions", "newest_revision", "run_revisions"]

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def newest_revision() -> str | None:
    """The revision that this program works with."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def known_revisions() -> set[str]:
    """Every revision that this program can start from."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def run_revisions(db: Connection) -> None:
    """Runs every missing revision in the transaction of the connection."""
    config = _config()
    config.attributes["connection"] = db
    command.upgrade(config, "head")
