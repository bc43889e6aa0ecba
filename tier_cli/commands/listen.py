"""`tier listen`: receive chest X-rays from a PACS, score them, and send results on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Exit

from tier_cli.api.model import open_models
from tier_cli.commands import options
from tier_cli.commands.stopping import stopping
from tier_cli.console import is_quiet
from tier_cli.errors import TierError, UsageError
from tier_cli.imaging.budget import DEFAULT_MEMORY, DEFAULT_TIMEOUT
from tier_cli.model.checkpoint import DEFAULT_MODEL
from tier_cli.packages import require_extras
from tier_cli.pacs.objects import KINDS
from tier_cli.signals import exit_code_of

if TYPE_CHECKING:
    from tier_cli.pacs.connections import ReceiverSettings
    from tier_cli.pacs.encryption import Certificates
    from tier_cli.pacs.listener import Listener
    from tier_cli.pacs.outbox import Destination

_NETWORK, _BOUNDS, _SENDING, _RESULTS = "Network", "Bounds", "Sending", "Results"

Port = Annotated[
    int,
    typer.Option(
        min=0, max=65535, metavar="N", help="TCP port; 0 takes a free one.", rich_help_panel=_NETWORK
    ),
]
Host = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Address to listen at: 0.0.0.0 for all of this machine.",
        rich_help_panel=_NETWORK,
    ),
]
AeTitle = Annotated[str, typer.Option(metavar="AE", help="AE title of this node.", rich_help_panel=_NETWORK)]
Allow = Annotated[
    list[str] | None,
    options.option(
        _NETWORK,
        "AE@HOST",
        "Accept this AE title from this address, network or name; repeat the option for others.",
    ),
]
AllowAny = Annotated[
    bool, options.switch(_NETWORK, "--allow-any", "Accept associations of anybody who reaches the port.")
]
TlsCert = Annotated[
    str | None, options.option(_NETWORK, "FILE", "Encrypt with this certificate (PEM).", "--tls-cert")
]
TlsKey = Annotated[
    str | None, options.option(_NETWORK, "FILE", "Private key of the certificate (PEM).", "--tls-key")
]
TlsCa = Annotated[
    str | None,
    options.option(_NETWORK, "FILE", "Accept only callers certified by these authorities (PEM).", "--tls-ca"),
]
Folder = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder for received images, the journal and the results; an earlier run's is taken up.",
        rich_help_panel=_RESULTS,
        show_default=False,
    ),
]
StudyTimeout = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Score a study so long after its last image.",
        rich_help_panel=_RESULTS,
    ),
]
StatusFile = Annotated[
    str | None,
    options.option(_RESULTS, "FILE", "Keep counts and the state of the service in this JSON file."),
]
MaxDisk = Annotated[
    int,
    typer.Option(
        metavar="SIZE",
        parser=lambda text: options.size_of(text, "--max-disk", 1_000_000),
        help="Delete the oldest scored images beyond this size; refuse new ones where none is left to delete."
        " Default: 20GB.",
        rich_help_panel=_BOUNDS,
        show_default=False,
    ),
]
MaxInstance = Annotated[
    int,
    typer.Option(
        metavar="SIZE",
        parser=lambda text: options.size_of(text, "--max-instance", 1_000_000),
        help="Break off images larger than this. Default: 100MB.",
        rich_help_panel=_BOUNDS,
        show_default=False,
    ),
]
MaxAssociations = Annotated[
    int,
    typer.Option(min=1, max=200, metavar="N", help="Most associations at a time.", rich_help_panel=_BOUNDS),
]
MaxPdu = Annotated[
    int,
    typer.Option(min=4096, max=1 << 24, metavar="BYTES", help="Longest PDU.", rich_help_panel=_BOUNDS),
]
IdleTimeout = Annotated[
    float,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="End a silent association.",
        rich_help_panel=_BOUNDS,
    ),
]
SendTo = Annotated[
    list[str] | None,
    options.option(
        _SENDING,
        "AE@HOST:PORT",
        "Send each study's report there by C-STORE; repeat the option for others.",
    ),
]
SendTls = Annotated[
    bool,
    options.switch(_SENDING, "--send-tls", "Send by TLS, with --tls-cert and --tls-ca."),
]
Send = Annotated[
    str,
    typer.Option(
        "--send",
        metavar="LIST",
        help=f"What to send, separated by commas: {', '.join(KINDS)}, as tier classify writes it with the "
        "options of these names. All but sr read the images once more.",
        rich_help_panel=_SENDING,
    ),
]
Stow = Annotated[
    list[str] | None,
    options.option(
        _SENDING,
        "URL",
        "Send each study's report by STOW-RS to dicomwebs://HOST/PATH (dicomweb:// without TLS).",
    ),
]
Retry = Annotated[
    float,
    typer.Option(
        min=0.1,
        metavar="SECONDS",
        help="Pause until the next attempt; doubled each time, up to 5 minutes.",
        rich_help_panel=_SENDING,
    ),
]

_DISK, _INSTANCE = 20_000_000_000, 100_000_000


def listen(
    output: Folder,
    port: Port = 11112,
    host: Host = "127.0.0.1",
    ae_title: AeTitle = "TIER",
    allow: Allow = None,
    allow_any: AllowAny = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_ca: TlsCa = None,
    model: options.Models = None,
    findings: options.Findings = None,
    engine: options.Engine = options.EngineName.AUTO,
    device: options.Device = options.DeviceName.AUTO,
    views: options.ReadViews = options.ReadViewsName.FRONTAL,
    window: options.Window = 1,
    decode: options.Decode = options.DecodeName.FAST,
    input_check: options.InputCheck = options.InputCheckName.NOTE,
    by: options.By = "image",
    study_timeout: StudyTimeout = 60.0,
    status_file: StatusFile = None,
    send_to: SendTo = None,
    send_tls: SendTls = False,
    stow: Stow = None,
    send: Send = "sr",
    retry: Retry = 5.0,
    max_disk: MaxDisk = _DISK,
    max_instance: MaxInstance = _INSTANCE,
    max_associations: MaxAssociations = 8,
    max_pdu: MaxPdu = 1 << 18,
    idle_timeout: IdleTimeout = 60.0,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    timeout_per_file: options.TimeoutPerFile = DEFAULT_TIMEOUT,
    memory_per_file: options.MemoryPerFile = DEFAULT_MEMORY,
) -> None:
    """Receive chest X-rays by C-STORE and score each study.

    Images are on the disk before the sender is told so. After a stop or a
    crash, the next run goes on with the same folder; tier merge makes a table
    of its journal. Received images are patient data: only the owner may read
    the folder.

    Exit codes: 2 wrong usage; 74 a full or lost disk; 130 Ctrl-C, 143
    SIGTERM, 129 SIGHUP, once what is in hand is finished.

    For research use; not a medical device.
    """
    require_extras("tier listen", "pacs")
    if bool(allow) == allow_any:
        raise UsageError(
            "--allow and --allow-any contradict each other" if allow_any else "nobody may send images",
            where="tier listen",
            remedy="give --allow AE@HOST for each sender, or --allow-any",
        )
    from tier_cli.imaging.header import import_pydicom

    import_pydicom()
    from tier_cli.pacs.connections import ReceiverSettings
    from tier_cli.pacs.encryption import Certificates
    from tier_cli.pacs.listener import Listener
    from tier_cli.pacs.objects import object_maker
    from tier_cli.pacs.peers import Peers, check_title

    kinds = options.names_in(send.lower(), KINDS, "--send", "kind of object")
    certificates = Certificates.of(tls_cert, tls_key, tls_ca)
    if send_tls and certificates is None:
        raise UsageError("needs a certificate", where="--send-tls", remedy="add --tls-cert and --tls-key")
    receiver = ReceiverSettings(
        title=check_title(ae_title, "--ae-title"),
        host=host,
        port=port,
        peers=Peers(None) if allow_any else Peers.parse(allow or ()),
        associations=max_associations,
        pdu=max_pdu,
        instance=max_instance,
        idle=idle_timeout,
        tls=None if certificates is None else certificates.server(),
    )
    destinations = _destinations(send_to or (), stow or (), receiver, certificates if send_tls else None)
    job = open_models(model or DEFAULT_MODEL, findings, engine.value, device.value)
    from tier_cli.pipeline.stream import stream_options

    stream = stream_options(
        views=views.value,
        window=window,
        decode=decode.value,
        by=by,
        batch_size=batch_size,
        workers=workers,
        timeout_per_file=timeout_per_file,
        memory_per_file=memory_per_file,
        input_check=input_check.value,
    )
    listener = Listener(
        Path(output),
        job,
        stream,
        receiver,
        most_disk=max_disk,
        quiet=study_timeout,
        destinations=destinations,
        make=object_maker(job, stream, kinds) if destinations else None,
        messages=None if is_quiet() else sys.stderr,
        status_file=None if status_file is None else Path(status_file),
        pause=retry,
    )
    with stopping():
        ended = _run(listener)
    raise Exit(ended)


def _run(listener: Listener) -> int:
    """Run the service until a signal ends it, and return the exit code; raises `TierError` if it fails."""
    try:
        listener.start()
        listener.wait()
    except KeyboardInterrupt as stop:
        listener.stop()
        return exit_code_of(stop)
    except TierError:
        listener.stop()
        raise
    return 0


def _destinations(
    addresses: Sequence[str],
    servers: Sequence[str],
    receiver: ReceiverSettings,
    certificates: Certificates | None,
) -> list[Destination]:
    """Open the receivers of results."""
    found: list[Destination] = []
    if addresses:
        from tier_cli.pacs.peers import Address
        from tier_cli.pacs.store_user import StoreUser

        tls = None if certificates is None else certificates.client()
        found += [StoreUser(Address.parse(text), receiver.title, receiver.idle, tls) for text in addresses]
    if servers:
        from tier_cli.pacs.dicomweb import Server, WebStore

        found += [WebStore(Server(url)) for url in servers]
    return found
