"""The certificate authorities that vouch for the servers of webhooks and of identity providers."""

import os
import ssl
from pathlib import Path

import httpx

FILE, FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"
"""OpenSSL's variables for other authorities than those of the internet. The file wins."""


class CertificatesUnusable(ValueError):
    """The certificates that a variable names can't be read."""


def trusted() -> ssl.SSLContext:
    """Return the context that verifies servers: by the variables if they are set, else by the list of certifi.

    Raises `CertificatesUnusable`.
    """
    file, folder = os.environ.get(FILE), os.environ.get(FOLDER)
    if not file and folder and not Path(folder).is_dir():
        raise CertificatesUnusable(f"Invalid {FOLDER}: there is no folder {folder}.")
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl's errors are among them
        why = "it has no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise CertificatesUnusable(f"Invalid {FILE} {file}: {why}.") from error
