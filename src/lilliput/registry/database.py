"""Opening a database, and one transaction at a time in it."""

import contextlib
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from lilliput.core import RegistryError
from lilliput.registry.blobs import saying_what_was_written
from lilliput.registry.schema import SCHEMA_VERSION, meta, tables

__all__ = ["Database"]

_BUSY_TIMEOUT_S = 60.0


class Database:
    """The tables of one registry, in a file or behind a URL.

    Args:
        url: As SQLAlchemy takes it.
        where: What errors call it.
        folder: Where a full disk is looked for.

    Raises:
        RegistryError: It cannot be opened, is no registry, or was written by a newer version.
    """

    def __init__(self, url: str, where: str, folder: Path) -> None:
        self.where, self.folder = where, folder
        try:
            # connections are closed after each transaction: nothing to share with child processes
            self.engine = create_engine(url, poolclass=NullPool)
        except (ArgumentError, ImportError) as error:
            raise RegistryError(f"{where} cannot be opened: {error}") from error
        if self.engine.dialect.name == "sqlite":
            _settle(self.engine)
        with self.transaction() as connection:
            self._check(connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All that is done inside, or nothing.

        Raises:
            RegistryError: The database cannot be read or written.
        """
        try:
            with saying_what_was_written("a row", self.folder), self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = getattr(error, "orig", None) or error
            if "full" in str(reason):
                with saying_what_was_written("a row", self.folder):
                    raise OSError(str(reason)) from error
            raise RegistryError(f"{self.where} cannot be read or written: {reason}") from error

    def _check(self, connection: Connection) -> None:
        """Creates the tables of a new registry; refuses what is none, or too new."""
        found = inspect(connection).get_table_names()
        if not found:
            tables.create_all(connection)
            facts = {"schema": str(SCHEMA_VERSION), "lilliput": version("lilliput")}
            connection.execute(insert(meta), [{"name": k, "value": v} for k, v in facts.items()])
            return
        if meta.name not in found:
            raise RegistryError(
                f"{self.where} is a database of something else; give another folder"
            )
        facts = {row.name: row.value for row in connection.execute(select(meta))}
        if int(facts["schema"]) > SCHEMA_VERSION:
            raise RegistryError(
                f"{self.where} was written by lilliput {facts['lilliput']} (schema "
                f"{facts['schema']}); this is lilliput {version('lilliput')}, which reads schema "
                f"{SCHEMA_VERSION}; pip install --upgrade lilliput, or give another folder"
            )


def _settle(engine: Engine) -> None:
    """Makes SQLite wait for other writers, and a commit survive a power cut."""

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _: Any) -> None:
        # the driver's own BEGIN comes late, after reads that a writer elsewhere can make stale
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * _BUSY_TIMEOUT_S)}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
