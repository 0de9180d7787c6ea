"""What the machine says about the way to a provider: its proxies and the certificates it trusts.

Read as other programs read it: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY (networks too),
SSL_CERT_FILE and SSL_CERT_DIR. The environment is handed in; nothing here opens a
connection.
"""

from __future__ import annotations

import ipaddress
import platform
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies

from eventstream.errors import ConfigurationError

BUNDLES: Final = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)
"""Where distributions keep their certificates, for a Python that was built for another one."""


def proxy_for(url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy for an address, None: go there directly.

    Raises ConfigurationError for a proxy that does not speak HTTP.
    """
    parts = urlsplit(url)
    if parts.hostname is None:
        return None
    proxies = _proxies(environment)
    if _is_exception(parts.hostname, parts.netloc.rpartition("@")[2], proxies.get("no", "")):
        return None
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    address = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(address).scheme not in ("http", "https"):
        raise ConfigurationError(
            f"{parts.scheme.upper()}_PROXY",
            f"a proxy for {parts.scheme} is {urlsplit(address).scheme}://..., and providers are"
            " reached through HTTP proxies only",
            f"Name an HTTP proxy in {parts.scheme.upper()}_PROXY, or the provider in NO_PROXY",
        )
    return address


def _proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Proxies by scheme, and under `no` who is to be reached without; small letters go first."""
    names = sorted(name for name in environment if name.lower().endswith("_proxy"))
    named = {name.lower().removesuffix("_proxy"): environment[name] for name in names}
    # A Mac's own settings, where the environment names none.
    return named or (getproxies() if platform.system() == "Darwin" else {})


def _is_exception(host: str, place: str, exceptions: str) -> bool:
    """Whether NO_PROXY names a host, its domain, its network or (`place`) it with its port."""
    for exception in map(str.strip, exceptions.lower().split(",")):
        name = exception.removeprefix("*").removeprefix(".")
        if exception == "*" or (name and (name in (host, place) or host.endswith(f".{name}"))):
            return True
        with suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(exception, strict=False):
                return True
    return False


def tls_context(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Certificates and host names are checked, against what the machine trusts.

    Raises ConfigurationError where SSL_CERT_FILE can't be read.
    """
    file, folder = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    if file:
        try:
            return ssl.create_default_context(cafile=file)
        except OSError as error:
            raise ConfigurationError(
                "SSL_CERT_FILE",
                f"{file} holds no certificates that can be read: {error}",
                "Name a PEM file, or unset it to trust what the system trusts",
            ) from error
    if folder:
        return ssl.create_default_context(capath=folder)
    if platform.system() == "Darwin":
        import truststore  # a Mac keeps its certificates where OpenSSL does not look

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        bundle = next(filter(Path.is_file, BUNDLES), None)
        return ssl.create_default_context(cafile=bundle)
    return ssl.create_default_context()
