"""models.toml files with one mistake each, and what the message must name."""

from __future__ import annotations

_FILE = 'role = "model"\nrepository = "a/b"\npath = "c.gguf"\nsha256 = "hub"\n'
_HEAD = 'summary = "s"\nfamily = "sd1"\nlicense = "MIT"\n'


def _model(extra: str = "", file: str = _FILE, head: str = _HEAD) -> str:
    """A models.toml with one model, m."""
    return f"[m]\n{head}{extra}\n[[m.files]]\n{file}"


def _file(extra: str = "", *, without: str = "") -> str:
    """A models.toml whose model m has one file, with more keys or without one."""
    kept = "".join(line for line in _FILE.splitlines(True) if not line.startswith(without or "\0"))
    return _model(file=kept + extra)


GOOD_REGISTRY = _model()

BAD_REGISTRIES: list[tuple[str, str, tuple[str, ...]]] = [
    # no TOML
    ("no-toml", "[m", ("cannot be read", "table declaration")),
    ("binary", "\0\0\0", ("cannot be read",)),
    ("entry-twice", _model() + "[m]\n", ("cannot be read", "m")),
    ("key-twice", _model('summary = "t"'), ("cannot be read",)),
    ("endless-number", _model(f"recommended_rank = {'9' * 5000}"), ("cannot be read",)),
    # entries
    ("no-table", "m = 1", ("entry m", "must be a table")),
    ("name", '["a/b"]\n', ("entry a/b", "a name has only")),
    ("name-empty", '[""]\n', ("a name has only",)),
    ("unknown-key", _model("colour = 1"), ("entry m", "key colour", "known are")),
    ("no-summary", _model(head='family = "sd1"\nlicense = "MIT"\n'), ("key summary", "missing")),
    ("no-family", _model(head='summary = "s"\nlicense = "MIT"\n'), ("key family", "missing")),
    ("no-license", _model(head='summary = "s"\nfamily = "sd1"\n'), ("key license", "missing")),
    ("summary-type", _model(head="summary = 1\n"), ("key summary", "must be text")),
    ("unknown-family", _model(head=_HEAD.replace("sd1", "sd9")), ("key family", "'sd9'", "sdxl")),
    ("unknown-kind", _model('kind = "music"'), ("key kind", "'music'", "image")),
    ("gated-type", _model('gated = "yes"'), ("key gated", "true or false")),
    ("gated-number", _model("gated = 1"), ("key gated", "true or false")),
    ("rank-0", _model("recommended_rank = 0"), ("key recommended_rank",)),
    ("rank-true", _model("recommended_rank = true"), ("key recommended_rank", "whole number")),
    ("rank-hexadecimal", _model(f"recommended_rank = 0x{'f' * 9999}"), ("recommended_rank",)),
    ("no-files", "[m]\n" + _HEAD, ("key files", "missing")),
    ("files-type", "[m]\n" + _HEAD + "files = 1", ("key files", "a list")),
    ("files-items", "[m]\n" + _HEAD + "files = [1]", ("key files[1]", "a table")),
    ("uses-unknown", _model('uses = ["nothing"]'), ("key uses", "'nothing'")),
    ("uses-itself", _model('uses = ["m"]'), ("key uses", "'m'")),
    ("uses-type", _model("uses = [1]"), ("key uses", "1")),
    ("uses-chain", _model('uses = ["sd15-q8_0"]'), ("key uses", "uses other entries itself")),
    ("two-models", _model() + "[[m.files]]\n" + _FILE, ("key files", "the role model")),
    # defaults and presets
    ("defaults-type", _model("defaults = 1"), ("key defaults", "a table")),
    ("defaults-unknown", _model("defaults = { colour = 1 }"), ("key defaults.colour", "width")),
    ("width-text", _model('defaults = { width = "w" }'), ("key defaults.width", "'w'")),
    ("width-0", _model("defaults = { width = 0 }"), ("key defaults.width", "0")),
    ("steps-negative", _model("defaults = { steps = -4 }"), ("key defaults.steps", "-4")),
    ("cfg-nan", _model("defaults = { cfg_scale = nan }"), ("key defaults.cfg_scale", "nan")),
    ("sampler", _model('defaults = { sampler = "ddim" }'), ("key defaults.sampler", "euler")),
    ("scheduler", _model('defaults = { scheduler = "x" }'), ("key defaults.scheduler", "karras")),
    ("flow-shift", _model("defaults = { flow_shift = -1 }"), ("key defaults.flow_shift", "-1")),
    ("clip-skip", _model("defaults = { clip_skip = 99 }"), ("key defaults.clip_skip", "99")),
    ("steps-endless", _model(f"draft = {{ steps = 0x{'f' * 9999} }}"), ("key draft.steps",)),
    ("draft-decoder", _model('draft = { decoder = "big" }'), ("key draft.decoder", "tiny")),
    ("best-unknown", _model("best = { seed = 1 }"), ("key best.seed",)),
    # files
    ("file-unknown-key", _file("colour = 1"), ("key files[1].colour", "known are")),
    ("no-role", _file(without="role"), ("key files[1].role", "missing")),
    ("unknown-role", _file('role = "brain"', without="role"), ("key files[1].role", "'brain'")),
    ("no-source", _file(without="repository"), ("key files[1]", "one of repository")),
    ("two-sources", _file('url = "https://x.y/z"'), ("key files[1]", "one of repository")),
    ("repository", _file('repository = "b"', without="repository"), ("files[1].repository",)),
    ("repository-dots", _file('repository = "../b"', without="repo"), ("files[1].repository",)),
    ("no-path", _file(without="path"), ("key files[1].path", "missing")),
    ("path-up", _file('path = "a/../../b"', without="path"), ("key files[1].path", "inside")),
    ("path-absolute", _file('path = "/etc/x"', without="path"), ("key files[1].path", "inside")),
    ("path-windows", _file('path = "C:\\\\x"', without="path"), ("key files[1].path", "inside")),
    ("size-negative", _file("size = -1"), ("key files[1].size", "-1 bytes")),
    ("size-0", _file("size = 0"), ("key files[1].size", "0 bytes")),
    ("size-text", _file('size = "2 GB"'), ("key files[1].size", "whole number")),
    ("size-hexadecimal", _file(f"size = 0x{'f' * 9999}"), ("key files[1].size",)),
    ("size-twice", _file("size = 1\nsize_about = 1"), ("key files[1].size", "not both")),
    ("no-sha256", _file(without="sha256"), ("key files[1].sha256", "missing", "hub")),
    ("sha256-short", _file('sha256 = "abc"', without="sha"), ("files[1].sha256", "64 hexa")),
    ("sha256-letters", _file(f'sha256 = "{"g" * 64}"', without="sha"), ("files[1].sha256",)),
    ("sha256-of-url", _model(file='role = "vae"\nurl = "https://x.y/z"'), ("sha256", "unknown")),
    ("url-http", _model(file='role = "vae"\nurl = "http://x.y/z"'), ("key files[1].url", "https")),
    ("url-file", _model(file='role = "vae"\nurl = "file:///x"'), ("key files[1].url", "https")),
    (
        "alternatives-alike",
        _file('quantization = "q8_0"') + "\n[[m.files]]\n" + _FILE + 'quantization = "q8_0"',
        ("key files", "the role model", "quantization of its own"),
    ),
    ("quantization", _file('quantization = "a:b"'), ("key files[1].quantization", "'a:b'")),
    ("quantize", _file('quantize = "q9"'), ("key files[1].quantize", "q8_0")),
    ("weight", _file("weight = 99.0"), ("key files[1].weight", "99")),
    ("weight-nan", _file("weight = nan"), ("key files[1].weight", "nan")),
    ("home", _model(file='role = "model"\nlocal_path = "~nobody-here/x"'), ("local_path",)),
]
"""What it is called, the file, and words the message must hold beside the file's name."""
