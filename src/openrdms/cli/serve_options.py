"""The options of ``rdms serve``, by what they are about; helps show them so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openrdms.config import EMBEDDED_LIBVIRT, ChannelBinding

_LISTENERS = "Listeners"
_TLS = "Certificates"
_SIGN_IN = "Who may come in"

StateDir = Annotated[
    Path, typer.Option(envvar="RDMS_STATE_DIR", help="Directory of all that the service keeps.")
]
Hypervisors = Annotated[
    list[str],
    typer.Option(
        "--hypervisor",
        default_factory=lambda: [EMBEDDED_LIBVIRT],
        show_default=False,
        help="libvirt or simulator URI, repeatable; an embedded libvirt when none.",
    ),
]
BootTimeout = Annotated[
    float, typer.Option(metavar="SECONDS", help="How long a guest may take to boot.", min=1)
]
ReadyFile = Annotated[
    Path | None, typer.Option(help="Appears when all listeners accept: JSON with addresses.")
]

Database = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="postgresql://USER@SERVER/DATABASE for records and jobs; else files of --state-dir.",
    ),
]
DatabasePasswordFile = Annotated[
    Path | None,
    typer.Option(help="File with that user's password in its first line; else libpq's ways."),
]
SharedKey = Annotated[
    Path | None,
    typer.Option(help="File that all services on --database have: see rdms database key."),
]

Listen = Annotated[str, typer.Option(help="Address to listen on.", rich_help_panel=_LISTENERS)]
Port = Annotated[
    int, typer.Option(help="0: any free one.", min=0, max=65535, rich_help_panel=_LISTENERS)
]
TrustedProxies = Annotated[
    list[str],
    typer.Option(
        "--trusted-proxy",
        default_factory=list,
        show_default=False,
        metavar="ADDRESS",
        help="Balancer, or network of some, that says by PROXY v2 who its clients are; repeatable.",
        rich_help_panel=_LISTENERS,
    ),
]

TlsCert = Annotated[
    Path | None,
    typer.Option(
        help="PEM chain for the web port; else that of the protocols.", rich_help_panel=_TLS
    ),
]
TlsKey = Annotated[Path | None, typer.Option(help="PEM key of --tls-cert.", rich_help_panel=_TLS)]
RdpCert = Annotated[
    Path | None,
    typer.Option(
        help="PEM chain to sign RDP files with; else they are unsigned.", rich_help_panel=_TLS
    ),
]
RdpKey = Annotated[Path | None, typer.Option(help="PEM key of --rdp-cert.", rich_help_panel=_TLS)]

SignIn = Annotated[
    Path | None,
    typer.Option(
        help="TOML: LDAP directory, OpenID provider, second factors.", rich_help_panel=_SIGN_IN
    ),
]
AdminUser = Annotated[str, typer.Option(help="Who may log in.", rich_help_panel=_SIGN_IN)]
AdminPasswordFile = Annotated[
    Path,
    typer.Option(
        help="File with that user's password in its first line.", rich_help_panel=_SIGN_IN
    ),
]
AllowUnencrypted = Annotated[
    bool,
    typer.Option(
        "--allow-unencrypted",
        help="Take passwords over HTTP on loopback.",
        rich_help_panel=_SIGN_IN,
    ),
]
Keytab = Annotated[
    Path | None,
    typer.Option(
        help="Keys of HTTP/HOST and WSMAN/HOST; Kerberos needs them.", rich_help_panel=_SIGN_IN
    ),
]
Binding = Annotated[
    ChannelBinding,
    typer.Option(help="Whether NTLM and Kerberos must be bound to TLS.", rich_help_panel=_SIGN_IN),
]
