"""Recordings by address: bounded in size and time, to no other scheme, and without repeating what is secret."""

import base64
import contextlib
import io
import socket
import threading
import time

import numpy as np
import pytest
import soundfile

from paravox.modeling import downloads
from paravox.modeling.audio import load_audio
from paravox.modeling.downloads import downloaded, is_url
from paravox.modeling.errors import AudioError

SAMPLES = np.random.default_rng(0).uniform(-0.5, 0.5, 800).astype(np.float32)


@pytest.fixture
def content():
    file = io.BytesIO()
    soundfile.write(file, SAMPLES, 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


@contextlib.contextmanager
def serving(*answers, pause=0.0):
    """A server that sends its answers, one per connection and piece by piece, and keeps what it was asked."""
    listener = socket.create_server(("127.0.0.1", 0))
    asked = []

    def serve():
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(65_536).decode())
                with contextlib.suppress(OSError):
                    for piece in [answer] if isinstance(answer, bytes) else answer:
                        connection.sendall(piece)
                        time.sleep(pause)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}", asked
    listener.close()


def ok(content, length=None):
    return b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(content) if length is None else length) + content


def load(url):
    with downloaded(url) as (file, address):
        return load_audio({"bytes": file, "path": address})


@pytest.mark.parametrize("scheme", ["http", "HTTP", "Http"])
def test_the_scheme_may_be_written_in_any_case(content, scheme):
    with serving(ok(content)) as (host, _):
        assert is_url(f"{scheme}://{host}/x.wav")
        np.testing.assert_array_equal(load(f"{scheme}://{host}/x.wav"), SAMPLES)
    assert not any(
        is_url(source) for source in ("clip.wav", "ftp://x/y.wav", "file:///y", "httpx://x", b"http://x", None)
    )


def test_user_and_password_are_sent_but_never_repeated(content):
    with serving(ok(content), b"HTTP/1.0 404 Not Found\r\n\r\n", ok(b"not audio")) as (host, asked):
        url = f"http://anna:se%20cret@{host}/a b.wav?token=hidden"
        np.testing.assert_array_equal(load(url), SAMPLES)
        assert f"Authorization: Basic {base64.b64encode(b'anna:se cret').decode()}" in asked[0]
        assert asked[0].startswith("GET /a%20b.wav?token=hidden ")
        for _ in range(2):
            with pytest.raises(
                AudioError, match=f"^http://{host}/a b.wav (cannot be downloaded|is not audio)"
            ) as raised:
                load(url)
            assert not any(word in str(raised.value) for word in ("anna", "cret", "hidden"))


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x.wav", "file:///etc/passwd", "gopher://127.0.0.1/x"])
def test_no_redirection_to_another_scheme_is_followed(target):
    with serving(f"HTTP/1.0 302 Found\r\nLocation: {target}\r\n\r\n".encode()) as (host, _):
        scheme = target.partition(":")[0]
        with pytest.raises(
            AudioError, match=f"cannot be downloaded .(it is redirected from http to {scheme}|HTTP status 302)"
        ):
            load(f"http://{host}/x.wav")


def test_a_redirection_to_the_same_scheme_is_followed_without_the_password(content):
    with serving(ok(content)) as (second, asked):
        moved = f"HTTP/1.0 302 Found\r\nLocation: http://{second}/y.wav\r\n\r\n".encode()
        with serving(moved) as (first, _):
            np.testing.assert_array_equal(load(f"http://anna:secret@{first}/x.wav"), SAMPLES)
    assert "Authorization" not in asked[0]


def test_no_more_is_downloaded_than_the_limit(monkeypatch, content):
    monkeypatch.setattr(downloads, "MAX_DOWNLOAD_BYTES", 100_000)
    endless = (b"HTTP/1.0 200 OK\r\n\r\n", *[bytes(10_000)] * 1_000)
    with serving(ok(content, length=10**12), endless) as (host, _):
        for _ in range(2):
            with pytest.raises(AudioError, match="cannot be downloaded .it has more than 100,000 bytes"):
                load(f"http://{host}/x.wav")


@pytest.mark.parametrize("slow", ["body", "header"])
def test_the_whole_download_is_bounded_in_time(monkeypatch, slow):
    monkeypatch.setattr(downloads, "MAX_DOWNLOAD_SECONDS", 0.5)
    head = [b"HTTP/1.0 200 OK\r\n"]
    pieces = [*head, b"\r\n", *[b"x"] * 100] if slow == "body" else head + [b"X: y\r\n"] * 100
    with serving(pieces, pause=0.1) as (host, _):
        start = time.monotonic()
        with pytest.raises(AudioError, match="takes longer than 0.5 s to download: download it yourself"):
            load(f"http://{host}/x.wav")
        assert time.monotonic() - start < 2


def test_what_a_server_may_do_wrong_is_an_error_of_ours(content):
    answers = {
        b"": "the answer is not that of a web server",
        b"nonsense\r\n\r\n": "the answer is not that of a web server",
        ok(content, length=len(content) + 5): f"it ends after {len(content):,} of {len(content) + 5:,} bytes",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n": "cannot be downloaded",
        b"HTTP/1.0 500 Broken\r\n\r\n": "HTTP status 500",
        b"HTTP/1.0 200 OK\r\nContent-Length: many\r\n\r\n": "cannot be downloaded",
    }
    with serving(*answers) as (host, _):
        for message in answers.values():
            with pytest.raises(AudioError, match=f"cannot be downloaded .*{message}|{message}"):
                load(f"http://{host}/x.wav")
    for url in (
        f"http://{host}/x.wav",
        "http://no-such-host.invalid/x.wav",
        "http:///x.wav",
        "http://a:port/",
        "http://[/",
    ):
        with pytest.raises(AudioError, match="cannot be (downloaded|understood)"):
            load(url)
