"""Who may look over users' shoulders: the setting Shadow of the deployment.

Numbers are those of the RDS policy of that name, as far as they do not
ask the user, who is always told instead.
"""

from __future__ import annotations

from enum import IntEnum

from openrdms.model.display_ticket import Mode
from openrdms.model.setting import SettingValue

KEY = "Shadow"


class Shadow(IntEnum):
    """What staff may do with the screen of somebody who has a desktop."""

    NONE = 0
    CONTROL = 2
    VIEW = 4

    def permits(self, mode: Mode) -> bool:
        """Who may control may look as well."""
        return self is Shadow.CONTROL or (self is Shadow.VIEW and mode is Mode.VIEW)


DEFAULT = Shadow.CONTROL


def read_shadow(value: SettingValue | None) -> Shadow:
    """Of what was kept under ``KEY``."""
    return Shadow(value) if isinstance(value, int) else DEFAULT
