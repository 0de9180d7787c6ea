"""Certificates of one cluster: two authorities, what they sign, and kubeconfigs. By openssl.

Nothing is kept beyond the cluster. Keys are elliptic curves: they cost a millisecond each.
"""

from __future__ import annotations

import base64
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.harness.errors import CommandFailed

_DAYS = "3650"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """What is signed: a file name, who signs, the subject, and the names that a server has."""

    name: str
    authority: str
    subject: str
    names: str = ""


def make_pki(folder: Path, certificates: list[Certificate]) -> None:
    """Writes NAME.crt and NAME.key for each certificate and authority, and sa.key.

    sa.key signs the tokens of service accounts.
    """
    folder.mkdir(mode=0o700)
    authorities = sorted({certificate.authority for certificate in certificates})
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(folder / "sa.key"))
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(lambda name: _authority(folder, name), authorities))
        list(pool.map(lambda certificate: _sign(folder, certificate), certificates))


def write_kubeconfig(folder: Path, user: str, server: str, target: Path) -> None:
    """A kubeconfig with the certificate of `user` in it. JSON, which is YAML too."""

    def inline(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "test",
                "cluster": {"server": server, "certificate-authority-data": inline("ca.crt")},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": inline(f"{user}.crt"),
                    "client-key-data": inline(f"{user}.key"),
                },
            }
        ],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    }
    target.touch(mode=0o600)
    target.write_text(json.dumps(config, indent=2) + "\n")


def _authority(folder: Path, name: str) -> None:
    _openssl(
        *("req", "-x509", *_NEW_KEY, "-days", _DAYS, "-subj", f"/CN={name}"),
        *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )


def _sign(folder: Path, certificate: Certificate) -> None:
    signer = folder / certificate.authority
    _openssl(
        *("req", "-x509", *_NEW_KEY, "-days", _DAYS, "-subj", certificate.subject),
        *("-CA", f"{signer}.crt", "-CAkey", f"{signer}.key"),
        *("-keyout", str(folder / f"{certificate.name}.key")),
        *("-out", str(folder / f"{certificate.name}.crt")),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", "extendedKeyUsage=clientAuth,serverAuth"),
        *(("-addext", f"subjectAltName={certificate.names}") if certificate.names else ()),
    )


def _openssl(*arguments: str) -> None:
    argv = ["openssl", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stderr)
