"""The program that opens an uploaded picture, in a process of its own with little to lose.

    python -m sdcpu.server.picture_decoder SOURCE TARGET PIXELS SECONDS BYTES

It reads PNG, JPEG or WebP from SOURCE and writes a plain PNG to TARGET: turned as it is meant to be
seen, its first frame, with transparency where it has some, without anything else. Its standard
output is JSON: width, height and the settings that the picture carries, or `error`. PIXELS, SECONDS
of its processor and BYTES of its address space are what it may use.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

FORMATS = ("PNG", "JPEG", "WEBP")
"""All that is ever looked at: every further format would be one more reader to attack."""
LARGEST_SIDE = 32_768
MOST_CHARACTERS = 50_000
"""Of the text in a picture."""


def main(arguments: list[str]) -> int:
    """Decode the picture; the exit code is 0 whether it could be decoded or not."""
    source, target = Path(arguments[0]), Path(arguments[1])
    most_pixels, seconds, memory = map(int, arguments[2:])
    confine(seconds, memory)
    report: dict[str, Any]
    try:
        report = decode(source, target, most_pixels)
    except MemoryError:
        report = {"error": "it needs too much memory"}
    except Exception as error:  # noqa: BLE001 - whatever a broken file makes Pillow raise
        report = {"error": str(error).replace(str(source), "it") or type(error).__name__}
    os.write(1, json.dumps(report).encode())
    return 0


def confine(seconds: int, memory: int) -> None:
    """Bound what this process may use, where the system knows how to."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def decode(source: Path, target: Path, most_pixels: int) -> dict[str, Any]:
    """Write the picture as a plain PNG and tell what it is.

    Raises:
        ValueError: it has too many pixels.
    """
    from PIL import Image, ImageOps

    with Image.open(source, formats=FORMATS) as image:
        width, height = image.size
        if width * height > most_pixels or max(width, height) > LARGEST_SIDE:
            raise ValueError(f"it has {width}x{height} pixels; {most_pixels} are taken")
        image.load()
        seen = ImageOps.exif_transpose(image)
        plain = _plain(seen)
        plain.info.clear()
        plain.save(target, "PNG", compress_level=1)
        size = {"width": plain.width, "height": plain.height}
        return size | {"recipe": _recipe(source), "parameters": _parameters(image)}


def _plain(image: Any) -> Any:
    """In one of the three kinds of pixels that the rest of sdcpu reads: L, RGB or RGBA."""
    if image.mode.startswith("I"):  # 16 bits a pixel
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _recipe(source: Path) -> object:
    from sdcpu.errors import SdcpuError
    from sdcpu.recipe import read_recipe

    try:
        return read_recipe(source)
    except SdcpuError:
        return None


def _parameters(image: Any) -> str | None:
    """What AUTOMATIC1111 and the programs after it write into a PNG."""
    text = getattr(image, "text", {}).get("parameters")
    return str(text)[:MOST_CHARACTERS] if text else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
