"""When things began, by triggers beside the truth: on a simulated cluster, and on record."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_NOW = "(julianday('now') - 2440587.5) * 86400.0"


def record_on_hosts(cluster: Path) -> None:
    """From now on tell when each operation and each definition began."""
    _execute(
        cluster / "state.sqlite",
        "CREATE TABLE begun (kind TEXT, vm TEXT, at REAL, ends REAL)",
        f"""CREATE TRIGGER begun_operation AFTER INSERT ON operations BEGIN
            INSERT INTO begun VALUES (NEW.kind, NEW.vm, {_NOW}, NEW.ends); END""",
        f"""CREATE TRIGGER begun_vm AFTER INSERT ON vms BEGIN
            INSERT INTO begun VALUES ('define', NEW.name, {_NOW}, 0); END""",
    )


def read_on_hosts(cluster: Path) -> list[tuple[str, str, float, float]]:
    """Kind, VM, when it was asked for, and when it ends; 0 of a definition, which takes no time."""
    with closing(sqlite3.connect(cluster / "state.sqlite", timeout=30)) as truth:
        return truth.execute("SELECT kind, vm, at, ends FROM begun").fetchall()


def record_intents(records: Path) -> None:
    """From now on tell when each desktop of a job was to go to another phase."""
    _execute(
        records,
        "CREATE TABLE intended (name TEXT, before TEXT, after TEXT, at REAL)",
        f"""CREATE TRIGGER intended AFTER UPDATE OF intended ON job_desktops
            WHEN NEW.intended IS NOT OLD.intended BEGIN
            INSERT INTO intended VALUES (NEW.name, OLD.intended, NEW.intended, {_NOW}); END""",
    )


def read_intents(records: Path) -> list[tuple[str, str, str, float]]:
    """Desktop, the phase before and after, "" for none, and when."""
    with closing(sqlite3.connect(records, timeout=30)) as rows:
        query = "SELECT name, coalesce(before, ''), coalesce(after, ''), at FROM intended"
        return rows.execute(query).fetchall()


def _execute(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, timeout=30)) as database, database:
        for statement in statements:
            database.execute(statement)
