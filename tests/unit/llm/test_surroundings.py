"""Which proxy an address is reached through, and whose certificates are trusted."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from eventstream.errors import ConfigurationError
from eventstream.llm import surroundings
from eventstream.llm.surroundings import proxy_for, tls_context

PROXY = "http://proxy:3128"
ALL = {"HTTP_PROXY": "http://plain:1", "HTTPS_PROXY": PROXY}


@pytest.mark.parametrize(
    ("story", "url", "environment", "proxy"),
    [
        ("none is named", "https://api.openai.com/v1", {}, None),
        ("by scheme", "https://api.openai.com/v1", ALL, PROXY),
        ("the other scheme", "http://vllm:8000/v1", ALL, "http://plain:1"),
        ("no scheme of its own", "https://a/v1", {"https_proxy": "proxy:3128"}, PROXY),
        ("for all", "https://a/v1", {"ALL_PROXY": PROXY}, PROXY),
        ("small letters first", "https://a/v1", {**ALL, "https_proxy": "http://s:1"}, "http://s:1"),
        ("small letters, empty", "https://a/v1", {**ALL, "https_proxy": ""}, None),
        ("an exception", "https://a.b/v1", {**ALL, "NO_PROXY": "x, a.b"}, None),
        ("a domain", "https://api.b/v1", {**ALL, "NO_PROXY": ".b"}, None),
        ("no domain", "https://apib/v1", {**ALL, "NO_PROXY": "b"}, PROXY),
        ("another port", "https://a:8443/v1", {**ALL, "NO_PROXY": "a:443"}, PROXY),
        ("its port", "https://a:8443/v1", {**ALL, "NO_PROXY": "a:8443"}, None),
        ("a domain with a star", "https://api.b/v1", {**ALL, "NO_PROXY": "*.b"}, None),
        ("IPv6", "http://[::1]:8000/v1", {**ALL, "NO_PROXY": "::1"}, None),
        ("everything", "https://a/v1", {**ALL, "NO_PROXY": "*"}, None),
        ("a network", "http://10.1.2.3/v1", {**ALL, "no_proxy": "a,10.0.0.0/8"}, None),
        ("another network", "http://11.1.2.3/v1", {**ALL, "no_proxy": "10.0.0.0/8"},
         "http://plain:1"),
        ("a user before the host", "https://u:p@a/v1", {**ALL, "NO_PROXY": "a"}, None),
        ("no address", "nowhere", ALL, None),
    ],
)  # fmt: skip
def test_the_proxy_of_an_address(
    story: str, url: str, environment: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(url, environment) == proxy


def test_a_proxy_that_does_not_speak_http_is_named_and_not_tried() -> None:
    with pytest.raises(ConfigurationError, match=r"HTTPS_PROXY: .*socks5://.*NO_PROXY"):
        proxy_for("https://api.openai.com/v1", {"ALL_PROXY": "socks5://proxy:1080"})


def test_certificates_and_names_are_always_checked() -> None:
    context = tls_context({})
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_python_made_elsewhere_finds_the_distributions_certificates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere = ssl.DefaultVerifyPaths(None, None, "", "", "", "")  # type: ignore[arg-type]
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
    bundle = next(path for path in surroundings.BUNDLES if path.is_file())
    monkeypatch.setattr(surroundings, "BUNDLES", (tmp_path / "none.crt", bundle))
    assert tls_context({}).cert_store_stats()["x509_ca"] > 0


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for file in (tmp_path / "none.pem", empty):
        with pytest.raises(ConfigurationError, match=f"SSL_CERT_FILE: {file}"):
            tls_context({"SSL_CERT_FILE": str(file)})
