"""The messages between the two processes: they arrive as they were sent, or not at all."""

import io
import json
import string
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdcpu import protocol
from sdcpu.protocol import (
    Cancel,
    Drawn,
    Failed,
    Finished,
    FramingError,
    Generate,
    GenerateSettings,
    Load,
    LoadSettings,
    Logged,
    LoraFile,
    Pixels,
    Previewed,
    Quantize,
    Reached,
    Started,
    Stop,
    read_message,
    write_message,
)

RED = Pixels(width=2, height=1, channels=3, data=b"\xff\x00\x00" * 2)
MASK = Pixels(width=1, height=1, channels=1, data=b"\x80")
SETTINGS = GenerateSettings(
    prompt='a "cat"\n\u732b \U0001f408',
    width=64,
    height=64,
    steps=4,
    cfg_scale=1.5,
    guidance=3.5,
    sampler="lcm",
    scheduler="discrete",
    seed=2**63 - 1,
    init_image=RED,
    mask_image=MASK,
    ref_images=(RED, MASK),
    loras=(LoraFile(path="/a b/\u00e9.safetensors", weight=-0.5),),
)
MESSAGES = [
    Load(settings=LoadSettings(files={"model": "/m.gguf", "vae": "/v"}, threads=2)),
    Generate(settings=SETTINGS),
    protocol.Upscale(file="/u", picture=RED, scale=4, threads=2, tile_size=64),
    protocol.Upscaled(pixels=RED),
    Quantize(source="/a", target="/b", tensor_type="q8_0"),
    Cancel(),
    Stop(),
    Started(version="1", commit="2", system_info="AVX = 1", cancels_in_place=True, notes=("a",)),
    Logged(level="warning", text="line"),
    Reached(stage="sample", step=3, steps=4, picture=2),
    Previewed(step=1, pixels=RED),
    protocol.Loaded(seconds=1.25),
    Drawn(index=0, seed=7, pixels=RED),
    Finished(stage_seconds={"load": 1.0}),
    Failed(code="cancelled", message="m", hint="h", details={"type": "t", "n": None, "x": 1.5}),
]


def frame(message: object) -> bytes:
    stream = io.BytesIO()
    write_message(stream, message)  # type: ignore[arg-type]
    return stream.getvalue()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_arrive_as_they_were_sent(message: object) -> None:
    assert read_message(io.BytesIO(frame(message))) == message


def test_messages_follow_each_other() -> None:
    stream = io.BytesIO(b"".join(frame(message) for message in MESSAGES))
    assert [read_message(stream) for _ in MESSAGES] == MESSAGES
    assert read_message(stream) is None


@given(
    prompt=st.text(st.characters(exclude_categories=["Cs"])),
    seed=st.integers(0, 2**63 - 1),
    width=st.integers(1, 9),
    height=st.integers(1, 9),
    data=st.data(),
    cfg_scale=st.floats(0, 100),
)
def test_any_request_arrives(
    prompt: str, seed: int, width: int, height: int, data: st.DataObject, cfg_scale: float
) -> None:
    pixels = data.draw(st.binary(min_size=width * height, max_size=width * height))
    settings = GenerateSettings(
        prompt=prompt,
        width=width,
        height=height,
        steps=1,
        cfg_scale=cfg_scale,
        guidance=0.0,
        sampler="euler",
        scheduler="karras",
        seed=seed,
        mask_image=Pixels(width=width, height=height, channels=1, data=pixels),
    )
    assert read_message(io.BytesIO(frame(Generate(settings=settings)))) == Generate(
        settings=settings
    )


def test_a_frame_that_ends_early_is_the_end() -> None:
    whole = frame(Drawn(index=0, seed=7, pixels=RED))
    for length in range(len(whole)):
        assert read_message(io.BytesIO(whole[:length])) is None


def _framed(header: object, after: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + after


PIXELS = {"$type": "Pixels", "width": 1, "height": 1, "channels": 1}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff\xff\xff\xff" + b"x" * 100, id="a huge length"),
        pytest.param(_framed(b""), id="no JSON"),
        pytest.param(_framed(b"\xff\xfe"), id="no text"),
        pytest.param(_framed(b"{"), id="half JSON"),
        pytest.param(_framed(b"[" * 100_000), id="too deep"),
        pytest.param(_framed([1, 2]), id="a list"),
        pytest.param(_framed({"step": 1}), id="no type"),
        pytest.param(_framed({"$type": "Popen", "args": "rm"}), id="an unknown type"),
        pytest.param(_framed({"$type": "read_message"}), id="a function"),
        pytest.param(_framed({"$type": ["Stop"]}), id="a type that is a list"),
        pytest.param(_framed({"$type": "Stop", "now": True}), id="a field too many"),
        pytest.param(_framed({"$type": "Reached"}), id="a field too few"),
        pytest.param(_framed(PIXELS | {"data": {"$bytes": 1}}, b"x"), id="a part, no message"),
        pytest.param(_framed({"$bytes": 3}, b"xyz"), id="bytes, no message"),
        pytest.param(_framed({"$bytes": -1}, b"xyz"), id="a negative length"),
        pytest.param(_framed({"$bytes": 2**40}), id="a terabyte"),
        pytest.param(_framed({"$bytes": "much"}), id="a length that is no number"),
        pytest.param(
            _framed(
                {
                    "$type": "Previewed",
                    "step": 1,
                    "pixels": PIXELS | {"width": 5, "data": {"$bytes": 1}},
                },
                b"x",
            ),
            id="fewer pixels than it says",
        ),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(FramingError):
        read_message(io.BytesIO(data))


@given(st.binary(max_size=200))
def test_noise_never_becomes_a_message(noise: bytes) -> None:
    try:
        message = read_message(io.BytesIO(noise))
    except FramingError:
        return
    assert message is None


def test_keys_with_a_meaning_are_not_sent() -> None:
    with pytest.raises(ValueError, match=r"\$"):
        frame(Finished(stage_seconds={"$type": 1.0}))


def test_pixels_must_be_as_many_as_they_say() -> None:
    with pytest.raises(ValueError, match="5 bytes are no picture of 2 x 1 x 3"):
        Pixels(width=2, height=1, channels=3, data=b"12345")


def test_an_unfinished_file_lies_beside_its_target() -> None:
    assert Quantize(source="a", target="/m/b.gguf", tensor_type="q8_0").unfinished == (
        "/m/b.gguf.part"
    )


def test_names_are_safe_in_json() -> None:
    """Class names are what goes over the wire: plain words, each once."""
    names = list(protocol._CLASSES)
    assert len(names) == len(set(names))
    assert all(set(name) <= set(string.ascii_letters) for name in names)
