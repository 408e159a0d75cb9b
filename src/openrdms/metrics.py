"""What is counted and timed where it happens, for Prometheus. States are read at each scrape
(frontends/web/state_metrics); here are events.

Names and units are Prometheus's conventions. Labels come from small closed sets: never names of
users or desktops, never what a client sent.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

REGISTRY = CollectorRegistry()
"""Of this process."""

_REPLY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STEP_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

HTTP_SECONDS = Histogram(
    "openrdms_http_request_duration_seconds",
    "Requests to the web port, by route and status.",
    ("method", "route", "status"),
    buckets=_REPLY_BUCKETS,
    registry=REGISTRY,
)
PROTOCOL_SECONDS = Histogram(
    "openrdms_protocol_request_duration_seconds",
    "Requests over WS-Management and CIM-XML, by path and status.",
    ("path", "status"),
    buckets=_REPLY_BUCKETS,
    registry=REGISTRY,
)
OPERATIONS = Counter(
    "openrdms_operations",
    "Operations on classes, whichever front end they came through, and whether they were let.",
    ("class", "operation", "right"),
    registry=REGISTRY,
)
CONNECT_SECONDS = Histogram(
    "openrdms_connect_duration_seconds",
    "Calls to connect a user to a desktop, by what came of them.",
    ("result",),
    buckets=_STEP_BUCKETS,
    registry=REGISTRY,
)
STEP_SECONDS = Histogram(
    "openrdms_step_duration_seconds",
    "Calls to hosts that provisioning makes, by kind.",
    ("kind",),
    buckets=_STEP_BUCKETS,
    registry=REGISTRY,
)
EVENT_STREAMS = Gauge(
    "openrdms_event_streams", "Streams of events that are open.", registry=REGISTRY
)
OVERLOADS = Counter(
    "openrdms_overloads",
    "Requests to the web port refused rather than let others wait.",
    ("reason",),
    registry=REGISTRY,
)

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)
