"""Provisioning jobs: accepted, planned, carried out desktop by desktop, taken back, reported.

``service`` is the face; ``workflow`` says how a job goes; ``recipes`` what each action does.
"""

from openrdms.services.provisioning.service import Provisioning

__all__ = ["Provisioning"]
