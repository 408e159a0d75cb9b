"""A next version of the program: a copy of this one with what a release may change.

Its workflow has a step more, which asks whether a run has it, and a higher version; its records
have a table more.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import openrdms
from openrdms.jobs.engine import WORKFLOW_VERSION

STEP = "weigh"
"""The step that jobs of the next version have, before that of their plan."""

_PLAN = '    work.defect = await work.run.step("plan"'

_WEIGH = f'''\
    if await work.run.changed("{STEP}"):
        await work.run.step("{STEP}", lambda: asyncio.sleep(0))
'''

_MIGRATION = '''\
"""What only the next version uses."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("weights", sa.Column("job", sa.Text, nullable=False))
'''


def make_next_version(directory: Path) -> tuple[str, ...]:
    """The command that starts it."""
    program = directory / "openrdms"
    source = Path(openrdms.__path__[0])
    shutil.copytree(source, program, ignore=shutil.ignore_patterns("__pycache__"))
    version = f"WORKFLOW_VERSION = {WORKFLOW_VERSION}"
    _replace(program / "jobs/engine.py", version, f"WORKFLOW_VERSION = {WORKFLOW_VERSION + 1}")
    _replace(program / "services/provisioning/workflow.py", _PLAN, _WEIGH + _PLAN)
    _add_migration(program / "adapters/sql/migrations/versions")
    return ("env", f"PYTHONPATH={directory}", sys.executable, "-m", "openrdms")


def _replace(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert text.count(before) == 1, f"{file} has changed: {before}"
    file.write_text(text.replace(before, after))


def _add_migration(versions: Path) -> None:
    before = max(re.findall(r"\d{4}", " ".join(file.name for file in versions.iterdir())))
    revision = f"{int(before) + 1:04}"
    text = _MIGRATION.format(revision=revision, before=before)
    (versions / f"{revision}_weights.py").write_text(text)
