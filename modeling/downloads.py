"""Downloads a recording, bounded in size and time, and without repeating what an address keeps secret."""

import base64
import http.client
import re
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from .errors import AudioError

MAX_DOWNLOAD_BYTES = 2**28
MAX_DOWNLOAD_SECONDS = 60.0
_BLOCK = 2**16


def is_url(source: Any) -> bool:
    """Whether a source of audio is an address of the web."""
    return isinstance(source, str) and re.match("https?://", source, re.IGNORECASE) is not None


@contextmanager
def downloaded(url: str) -> Iterator[tuple[BinaryIO, str]]:
    """Downloads a recording into a temporary file.

    Args:
        url (`str`): with `http` or `https`. A user and password in it are sent to its host alone.

    Yields:
        The file, and the address without user, password and query, for messages.

    Raises:
        AudioError: if it cannot be downloaded, is larger than 256 MB or takes more than a minute.
    """
    with tempfile.TemporaryFile(buffering=0) as file:
        try:
            request, shown = _request(url)
        except ValueError:
            raise AudioError(
                "the address of a recording cannot be understood: check the part before its path"
            ) from None
        _within_time(request, shown, file)
        yield file, shown


def _request(url: str) -> tuple[urllib.request.Request, str]:
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if not parts.hostname or (parts.port or 1) < 0:
        raise ValueError("no host, or an impossible port")
    # What is not ASCII, and blanks, as a browser sends them.
    path = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~?")
    address = urllib.parse.urlunsplit((parts.scheme, host.encode("idna").decode(), path, query, ""))
    request = urllib.request.Request(address)
    if parts.username is not None:
        secret = ":".join(urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
        # Not sent to another host that this one redirects to.
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(secret.encode()).decode())
    return request, urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def _within_time(request: urllib.request.Request, shown: str, file: BinaryIO) -> None:
    """Downloads in a thread, because a server that sends a byte now and then would keep a socket busy for ever."""
    failures: list[Exception] = []
    deadline = time.monotonic() + MAX_DOWNLOAD_SECONDS

    def fetch() -> None:
        try:
            _fetch(request, file, deadline)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(MAX_DOWNLOAD_SECONDS)
    if thread.is_alive() or time.monotonic() > deadline:
        raise AudioError(f"{shown} takes longer than {MAX_DOWNLOAD_SECONDS:g} s to download: download it yourself")
    if failures:
        reason = failures[0] if isinstance(failures[0], AudioError) else _reason(failures[0])
        raise AudioError(f"{shown} cannot be downloaded ({reason}), expected an audio file: check the address")


def _fetch(request: urllib.request.Request, file: BinaryIO, deadline: float) -> None:
    opener = urllib.request.build_opener(_SafeRedirects)
    with opener.open(request, timeout=MAX_DOWNLOAD_SECONDS) as response:
        expected, received = int(response.headers.get("Content-Length") or 0), 0
        while received <= MAX_DOWNLOAD_BYTES >= expected and time.monotonic() < deadline:
            block = response.read1(_BLOCK)
            if not block:
                break
            file.write(block)
            received += len(block)
    if max(expected, received) > MAX_DOWNLOAD_BYTES:
        raise AudioError(f"it has more than {MAX_DOWNLOAD_BYTES:,} bytes")
    if received < expected:
        raise AudioError(f"it ends after {received:,} of {expected:,} bytes")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection only to the same scheme, or to the safer one."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme.lower()
        if scheme not in (req.type, "https"):
            raise AudioError(f"it is redirected from {req.type} to {scheme}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _reason(error: Exception) -> str:
    """Why it failed, without the address, which many errors repeat."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, http.client.HTTPException):
        return f"the answer is not that of a web server, {type(error).__name__}"
    return str(getattr(error, "strerror", None) or type(error).__name__)
