"""``rdms serve``: the service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from openrdms import config
from openrdms.cli import serve_options as options
from openrdms.cli.commands import exit_codes
from openrdms.config import ChannelBinding


def register(app: typer.Typer) -> None:
    """Add the command to the ``rdms`` command."""
    app.command("serve")(serve)


def serve(
    state_dir: options.StateDir,
    admin_user: options.AdminUser,
    admin_password_file: options.AdminPasswordFile,
    hypervisors: options.Hypervisors,
    trusted_proxies: options.TrustedProxies,
    listen: options.Listen = "127.0.0.1",
    wsman_http_port: options.Port = config.WSMAN_HTTP_PORT,
    wsman_https_port: options.Port = config.WSMAN_HTTPS_PORT,
    cimxml_http_port: options.Port = config.CIMXML_HTTP_PORT,
    cimxml_https_port: options.Port = config.CIMXML_HTTPS_PORT,
    web_port: options.Port = config.WEB_PORT,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    rdp_port: options.Port = config.RDP_PORT,
    rdp_cert: options.RdpCert = None,
    rdp_key: options.RdpKey = None,
    sign_in: options.SignIn = None,
    allow_unencrypted: options.AllowUnencrypted = False,
    keytab: options.Keytab = None,
    channel_binding: options.Binding = ChannelBinding.RELAXED,
    boot_timeout: options.BootTimeout = config.BOOT_TIMEOUT,
    ready_file: options.ReadyFile = None,
    database: options.Database = None,
    database_password_file: options.DatabasePasswordFile = None,
    shared_key: options.SharedKey = None,
) -> None:
    """Run the service until SIGTERM; jobs and VMs go on at the next start."""
    given = locals()  # named as the fields of ServeConfig
    with exit_codes():
        settings = config.ServeConfig(**{name: _settle(value) for name, value in given.items()})
        from openrdms.app import running  # a usage error need not wait for all this

        running.serve(settings)


def _settle(value: Any) -> Any:
    """As a frozen configuration has it: no list, no path that depends on where we are."""
    if isinstance(value, Path):
        return value.absolute()
    return tuple(value) if isinstance(value, list) else value
