"""What the web front end may ask, put together from a core and an engine."""

from __future__ import annotations

from functools import partial

from openrdms.app.admission import Admission
from openrdms.app.core import Core, now
from openrdms.app.engine import Engine
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.feed.access import FeedAccess
from openrdms.security.web_sessions import WebSessions
from openrdms.services.clipboards import Clipboards
from openrdms.services.desktop_list import DesktopList
from openrdms.services.display_tickets import DisplayTickets
from openrdms.services.job_list import JobList
from openrdms.services.own_desktops import OwnDesktops
from openrdms.services.rdp_files import RdpFiles
from openrdms.services.repeated_requests import RepeatedRequests
from openrdms.services.tasks import Tasks
from openrdms.services.user_messages import UserMessages


def make_backend(
    core: Core, engine: Engine, admission: Admission, rdp_files: RdpFiles, feed: FeedAccess
) -> Backend:
    """All of it; TypeError when a field of Backend has been forgotten."""
    web_sessions = _make_web_sessions(core, engine)
    messages = UserMessages(core.store, core.accounts, now)
    engine.sessions.subscribe_to_messages(messages.note)
    desktop_list = DesktopList(core.store, core.hosts, core.health)
    return _with_engine(_with_core(core), engine)(
        guard=admission.guard,
        sign_in=admission.sign_in,
        web_sessions=web_sessions,
        api_tokens=admission.api_tokens,
        user_messages=messages,
        desktop_list=desktop_list,
        own_desktops=OwnDesktops(
            core.store,
            core.hosts,
            core.publishing,
            engine.brokering,
            desktop_list,
            engine.run_states,
            engine.releasing,
        ),
        display_tickets=DisplayTickets(core.store, core.hosts, now, copy=engine.local_copy),
        clipboards=Clipboards(core.store, core.hosts),
        tasks=Tasks(core.store, engine.changes, now),
        rdp_files=rdp_files,
        feed=feed,
    )


def _make_web_sessions(core: Core, engine: Engine) -> WebSessions:
    note_late = engine.late_records.note if core.members.me else None
    made = WebSessions(core.store, core.accounts, now, note_late)
    made.subscribe(engine.connections.recheck)
    core.accounts.subscribe(made.seen.note_change)
    core.store.subscribe(made.seen.hear)
    return made


def _with_core(core: Core) -> partial[Backend]:
    return partial(
        Backend,
        state_dir=core.state_dir,
        accounts=core.accounts,
        audit_log=core.audit_log,
        access=core.access,
        uses=core.uses,
        publishing=core.publishing,
        installed_applications=core.installed_applications,
        images=core.images,
        image_diff=core.image_diff,
        image_removal=core.image_removal,
        hosts=core.hosts,
        health=core.health,
        host_states=core.host_states,
        moving=core.moving,
        draining=core.draining,
        tokens=core.tokens,
        audit=core.audit,
        jobs=JobList(core.store),
        repeated_requests=RepeatedRequests(core.store, now),
    )


def _with_engine(backend: partial[Backend], engine: Engine) -> partial[Backend]:
    services = engine.services
    return partial(
        backend,
        changes=engine.changes,
        collections=services.collections,
        desktops=services.desktops,
        provisioning=engine.provisioning,
        patching=engine.patching,
        sessions=engine.sessions,
        session_hosts=services.session_hosts,
        assignments=services.assignments,
        brokering=engine.brokering,
        connections=engine.connections,
        local_copy=engine.local_copy,
        pools=engine.pools,
        watch=engine.watch,
        releasing=engine.releasing,
        user_news=engine.user_news,
        settings=services.settings,
        deployment=services.deployment,
    )
