"""Encrypt connections by TLS with certificates from files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from tier_cli.errors import UsageError


@dataclass(frozen=True)
class Certificates:
    """Files in PEM.

    Parameters
    ----------
    own, key
        The certificate of this node and its private key.
    authorities
        The certificates by which others are checked; empty for those of the system.
    """

    own: str
    key: str
    authorities: str = ""

    @classmethod
    def of(cls, own: str | None, key: str | None, authorities: str | None) -> Certificates | None:
        """Return the certificates of the options; None without any, raises `UsageError` if one is missing."""
        if own is None and key is None and authorities is None:
            return None
        if own is None or key is None:
            missing = "--tls-cert" if own is None else "--tls-key"
            raise UsageError("TLS needs a certificate and its key", where=missing, remedy="give both")
        return cls(own, key, authorities or "")

    def server(self) -> ssl.SSLContext:
        """Return the context of a server; with `authorities`, clients must have a certificate too.

        Raises
        ------
        UsageError
            If a file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if self.authorities:
            context.verify_mode = ssl.CERT_REQUIRED
        return self._loaded(context)

    def client(self) -> ssl.SSLContext:
        """Return the context of a client, which checks the certificate and the name of the server.

        Raises
        ------
        UsageError
            If a file cannot be used.
        """
        return self._loaded(ssl.create_default_context(ssl.Purpose.SERVER_AUTH))

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.own, self.key, password=_no_password)
        except (OSError, ValueError):
            raise UsageError(
                "the certificate or its key cannot be used",
                where=f"--tls-cert {self.own}",
                remedy="give files in PEM that belong together, the key without password",
            ) from None
        if self.authorities:
            try:
                context.load_verify_locations(self.authorities)
            except (OSError, ValueError):
                raise UsageError(
                    "holds no certificates", where=f"--tls-ca {self.authorities}", remedy="give a file in PEM"
                ) from None
        return context


def _no_password() -> str:
    # Without a function, OpenSSL would ask on the terminal.
    return ""
