"""What must not be published is found, whatever the system, and what looks like it is let pass."""

import json
import struct
import sys
import zlib

import pytest
import torch
from documents import ROOT
from matplotlib.figure import Figure
from safetensors.torch import save_file

from paravox.evaluation.figure_style import figure_bytes
from paravox.modeling.errors import ConfigError
from paravox.trainers.private_content import check_content, check_secrets, find_private

PRIVATE = {
    "an address of a file": ["file:///home/me/x", "smb://server/share", "s3://our-bucket/corpus", "SFTP://host/x"],
    "a path of a home folder": ["~/models", "see ~me/models.", "$HOME/x", "%USERPROFILE%\\x"],
    "an absolute path": [
        *("/home/me", '"/mnt/x"', "path=/etc/passwd", "/nfs/data", "/content/drive/My Drive/x", "(/gpfs/a/b)"),
        *("`/Volumes/x`", "/Users/Jürgen/x", "/kaggle/working/x", "x: /scratch/me", "/dbfs/mnt/x"),
    ],
    "a path of Windows": ["C:/Users/me", "d:\\data\\x", "'E:\\\\x'"],
    "a path of a network": [r"\\server\share", "//server/share", r"\\\\server\\share"],
    "an e-mail address": ["me@host.example.org", "Write to first.last+x@uni-a.de."],
    "a token": ["hf_" + "a" * 30],
}
PUBLIC = [
    *("https://huggingface.co/a/b/c", "<https://a.b/c/d>", "and/or", "</details>", "[x](figures/a.png)", "a / b / c"),
    *("km/h", "kHz/44.1", "(batch, frames)/2", "10 // 3", "self.a@self.b", "it is: /", r"'\d+\w'", "a:b", "1:/2"),
    *("C: minor", "audio/0.wav", "@article{x,", 'Bj{\\"o}rn', "input/output error", "arXiv:2206.12469", "~ 3 s"),
]


@pytest.mark.parametrize(("what", "text"), [(what, text) for what, texts in PRIVATE.items() for text in texts])
def test_what_is_private_is_found(what, text):
    found, shown = find_private(f"some words {text} and more")
    assert found == what and shown in f"{text} hf_..."
    assert find_private(text) is not None


@pytest.mark.parametrize("text", PUBLIC)
def test_what_only_looks_like_it_is_let_pass(text):
    assert find_private(text) is None and find_private(f"words {text} words") is None


def test_what_every_model_carries_is_public():
    for file in [*ROOT.glob("modeling/*.py"), *ROOT.glob("model_cards/*.md")]:
        check_content(file)


def test_json_is_read_as_json_too(tmp_path):
    file = tmp_path / "config.json"
    for value in ({"a": ["\u002fhome\u002fme"]}, {"C:\\Users\\me": 1}, {"a": {"b": "\\\\server\\share"}}):
        file.write_text(json.dumps(value).replace("/", "\\u002f"))
        with pytest.raises(ConfigError, match="must not be published: take it out"):
            check_content(file)
    file.write_text(json.dumps({"a": "audio/0.wav"}))
    check_content(file)


def test_metadata_of_weights(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(3)}, file, metadata={"format": "pt"})
    check_content(file)
    save_file({"weight": torch.zeros(3)}, file, metadata={"format": "pt", "author": "me"})
    with pytest.raises(ConfigError, match=r"carries metadata beside the weights \(author\)"):
        check_content(file)
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(ConfigError, match="model.safetensors is damaged"):
        check_content(file)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (chunk(b"tEXt", b"Author\0me"), r"metadata \(tEXt 'Author'\)"),
        (chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0x"), r"metadata \(iTXt"),
        (chunk(b"eXIf", b"MM\0*"), r"metadata \(eXIf"),
        (chunk(b"tEXt", b"Software\0/home/me/plot.py"), "holds an absolute path"),
    ],
)
def test_metadata_of_pictures(tmp_path, added, message):
    file = tmp_path / "figure.png"
    content = figure_bytes(Figure(figsize=(1, 1)), ".png")
    file.write_bytes(content)
    check_content(file)
    file.write_bytes(content[:33] + added + content[33:])  # behind the header
    with pytest.raises(ConfigError, match=message):
        check_content(file)
    for other, message in ((content + b"PK", "bytes behind its end"), (b"GIF89a", "is no PNG")):
        file.write_bytes(other)
        with pytest.raises(ConfigError, match=message):
            check_content(file)


SECRETS = {
    "AWS Access Key": "AKIA" + "IOSFODNN7EXAMPL2",
    "GitHub Token": "ghp_" + "1234567890" * 3 + "123456",
    "Private Key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "Basic Auth Credentials": "https://user:pa55word@" + "host/x",
}


@pytest.mark.parametrize("kind", SECRETS)
def test_secrets_of_other_services_are_found_and_not_repeated(tmp_path, kind):
    pytest.importorskip("detect_secrets")
    file = tmp_path / "README.md"
    file.write_text("words\n")
    assert check_secrets([file]) is None
    file.write_text(f"words\n{SECRETS[kind]}\n")
    with pytest.raises(ConfigError, match=rf"looks like a secret in line 2 \({kind}\)") as refused:
        check_secrets([file])
    assert SECRETS[kind][4:20] not in str(refused.value)


def test_without_detect_secrets_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "detect_secrets.core.scan", None)
    assert check_secrets([tmp_path / "README.md"]) == (
        "looking for keys and passwords of other services needs detect-secrets, which is not installed: pip install "
        "'paravox[secrets]'"
    )
