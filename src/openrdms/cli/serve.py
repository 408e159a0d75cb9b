"""``rdms serve``: the service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openrdms import config
from openrdms.cli.commands import exit_codes
from openrdms.config import ChannelBinding

StateDir = Annotated[
    Path, typer.Option(envvar="RDMS_STATE_DIR", help="Directory of all that the service keeps.")
]

BootTimeout = Annotated[
    float, typer.Option(metavar="SECONDS", help="How long a guest may take to boot.", min=1)
]
Port = Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)]


def register(app: typer.Typer) -> None:
    """Add the command to the ``rdms`` command."""
    app.command("serve")(serve)


def serve(
    state_dir: StateDir,
    admin_user: Annotated[str, typer.Option(help="Who may log in.")],
    admin_password_file: Annotated[
        Path, typer.Option(help="File with that user's password in its first line.")
    ],
    hypervisor: Annotated[
        list[str] | None,
        typer.Option(help="libvirt or simulator URI, repeatable; an embedded libvirt when none."),
    ] = None,
    listen: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    wsman_http_port: Port = config.WSMAN_HTTP_PORT,
    wsman_https_port: Port = config.WSMAN_HTTPS_PORT,
    cimxml_http_port: Port = config.CIMXML_HTTP_PORT,
    cimxml_https_port: Port = config.CIMXML_HTTPS_PORT,
    web_port: Port = config.WEB_PORT,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM chain for the web port; else that of the protocols.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key of --tls-cert.")] = None,
    rdp_port: Port = config.RDP_PORT,
    rdp_cert: Annotated[
        Path | None, typer.Option(help="PEM chain to sign RDP files with; else they are unsigned.")
    ] = None,
    rdp_key: Annotated[Path | None, typer.Option(help="PEM key of --rdp-cert.")] = None,
    allow_unencrypted: Annotated[
        bool, typer.Option("--allow-unencrypted", help="Take passwords over HTTP on loopback.")
    ] = False,
    keytab: Annotated[
        Path | None, typer.Option(help="Keys of HTTP/HOST and WSMAN/HOST; Kerberos needs them.")
    ] = None,
    channel_binding: Annotated[
        ChannelBinding, typer.Option(help="Whether NTLM and Kerberos must be bound to TLS.")
    ] = ChannelBinding.RELAXED,
    boot_timeout: BootTimeout = config.BOOT_TIMEOUT,
    ready_file: Annotated[
        Path | None, typer.Option(help="Appears when all listeners accept: JSON with addresses.")
    ] = None,
) -> None:
    """Run the service until SIGTERM; jobs and VMs go on at the next start."""
    with exit_codes():
        settings = config.ServeConfig(
            state_dir=state_dir.absolute(),
            hypervisors=tuple(hypervisor or [config.EMBEDDED_LIBVIRT]),
            listen=listen,
            wsman_http_port=wsman_http_port,
            wsman_https_port=wsman_https_port,
            admin_user=admin_user,
            admin_password_file=admin_password_file,
            allow_unencrypted=allow_unencrypted,
            ready_file=ready_file and ready_file.absolute(),
            cimxml_http_port=cimxml_http_port,
            cimxml_https_port=cimxml_https_port,
            keytab=keytab and keytab.absolute(),
            channel_binding=channel_binding,
            boot_timeout=boot_timeout,
            web_port=web_port,
            tls_cert=tls_cert and tls_cert.absolute(),
            tls_key=tls_key and tls_key.absolute(),
            rdp_port=rdp_port,
            rdp_cert=rdp_cert and rdp_cert.absolute(),
            rdp_key=rdp_key and rdp_key.absolute(),
        )
        from openrdms.app import running  # a usage error need not wait for all this

        running.serve(settings)
