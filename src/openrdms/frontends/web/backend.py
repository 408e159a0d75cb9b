"""What the web front end is bound to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openrdms.cim.guard import Guard
from openrdms.frontends.web.feed.access import FeedAccess
from openrdms.jobs.tokens import Tokens
from openrdms.security.accounts import Accounts
from openrdms.security.api_tokens import ApiTokens
from openrdms.security.audit_log import AuditLog
from openrdms.security.sign_in import SignIn
from openrdms.security.web_sessions import WebSessions
from openrdms.services.access import Access
from openrdms.services.assignments import Assignments
from openrdms.services.audit import Audit
from openrdms.services.brokering import Brokering
from openrdms.services.changes import Changes
from openrdms.services.clipboards import Clipboards
from openrdms.services.collections import Collections
from openrdms.services.deployment import Deployment
from openrdms.services.desktop_list import DesktopList
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.desktops import Desktops
from openrdms.services.display_tickets import DisplayTickets
from openrdms.services.draining import Draining
from openrdms.services.host_health import HostHealth
from openrdms.services.host_states import HostStates
from openrdms.services.hosts import Hosts
from openrdms.services.image_diff import ImageDiff
from openrdms.services.image_removal import ImageRemoval
from openrdms.services.images import Images
from openrdms.services.installed_applications import InstalledApplications
from openrdms.services.job_list import JobList
from openrdms.services.live_connections import LiveConnections
from openrdms.services.local_copy import LocalCopy
from openrdms.services.moving_desktops import MovingDesktops
from openrdms.services.own_desktops import OwnDesktops
from openrdms.services.patching import Patching
from openrdms.services.pools import Pools
from openrdms.services.provisioning import Provisioning
from openrdms.services.publishing import Publishing
from openrdms.services.rdp_files import RdpFiles
from openrdms.services.releasing import Releasing
from openrdms.services.repeated_requests import RepeatedRequests
from openrdms.services.session_hosts import SessionHosts
from openrdms.services.session_watch import SessionWatch
from openrdms.services.sessions import Sessions
from openrdms.services.settings import Settings
from openrdms.services.tasks import Tasks
from openrdms.services.user_messages import UserMessages
from openrdms.services.user_news import UserNews


@dataclass(frozen=True)
class Backend:
    """All that routes may ask; they find it with ``of``."""

    state_dir: Path
    guard: Guard
    accounts: Accounts
    web_sessions: WebSessions
    api_tokens: ApiTokens
    sign_in: SignIn
    audit_log: AuditLog
    access: Access
    changes: Changes
    collections: Collections
    desktops: Desktops
    desktop_list: DesktopList
    uses: DesktopUses
    provisioning: Provisioning
    jobs: JobList
    patching: Patching
    sessions: Sessions
    session_hosts: SessionHosts
    assignments: Assignments
    brokering: Brokering
    display_tickets: DisplayTickets
    clipboards: Clipboards
    connections: LiveConnections
    local_copy: LocalCopy
    rdp_files: RdpFiles
    feed: FeedAccess
    pools: Pools
    watch: SessionWatch
    releasing: Releasing
    publishing: Publishing
    installed_applications: InstalledApplications
    own_desktops: OwnDesktops
    user_news: UserNews
    user_messages: UserMessages
    images: Images
    image_diff: ImageDiff
    image_removal: ImageRemoval
    tasks: Tasks
    repeated_requests: RepeatedRequests
    hosts: Hosts
    health: HostHealth
    host_states: HostStates
    moving: MovingDesktops
    draining: Draining
    tokens: Tokens
    settings: Settings
    deployment: Deployment
    audit: Audit
