"""The tables of a registry. Imported where a registry is opened: SQLAlchemy takes a while."""

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = ["SCHEMA_VERSION", "measurements", "meta", "notes", "skipped", "tables", "variants"]

SCHEMA_VERSION = 1

tables = MetaData()

meta = Table(
    "meta",
    tables,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

variants = Table(
    "variants",
    tables,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("key", String(128), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("target", String(128), nullable=False),
    Column("file", Text, nullable=False),
    Column("format", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("recipe", Text, nullable=False),
    Column("parent", String(64)),
    Column("seed", Integer, nullable=False),
    Column("created", String(40), nullable=False),
    Column("history", Text, nullable=False),
    Column("details", Text, nullable=False),
)

measurements = Table(
    "measurements",
    tables,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("variant", ForeignKey("variants.id", ondelete="CASCADE"), nullable=False),
    Column("quantity", String(64), nullable=False),
    Column("value", Float, nullable=False),
    Column("unit", String(64), nullable=False),
    Column("method", String(16), nullable=False),
    Column("device", Text, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("low", Float),
    Column("high", Float),
    UniqueConstraint("variant", "quantity"),
)

skipped = Table(
    "skipped",
    tables,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("name", String(256), nullable=False),
    Column("target", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("name", "target"),
)

notes = Table(
    "notes",
    tables,
    Column("name", String(128), primary_key=True),
    Column("value", Text, nullable=False),
)
