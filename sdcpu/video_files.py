"""Videos as files: frames and the recipe, written into the container that the name asks for.

MP4 (H.264) and WebM (VP9) are written through PyAV, the extra "video"; animated WebP and GIF by
Pillow; a folder gets every frame as PNG. All of them carry the recipe: WebP and PNG as pictures
do, the others as a comment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdcpu.errors import InvalidRequestError
from sdcpu.inputs import read_picture
from sdcpu.recipe import MAX_RECIPE_BYTES, read_recipe, recipe_options, save_picture
from sdcpu.whole_file import written_whole

if TYPE_CHECKING:
    from PIL.Image import Image

_CODECS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("libx264", {"crf": "17", "preset": "medium"}),
    ".webm": ("libvpx-vp9", {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4"}),
}
"""Codec and its options: hardly to be told from the frames."""
_ANIMATIONS = {".webp": "WEBP", ".gif": "GIF"}
ENDINGS = (*_CODECS, *_ANIMATIONS)
"""What a video's name can end in; without an ending it is a folder of frames."""
_COMMENT = "comment"
_WEBP_QUALITY = 90
_FRAME_NAME = "frame-{:04}.png"
_NEEDS_PYAV = 'Install it: pip install "sdcpu[video]"; or end the name in .webp or .gif.'


def usual_ending() -> str:
    """What a video's name ends in where nobody says: MP4 where it can be written, else WebP."""
    return ".mp4" if _has_pyav() else ".webp"


def check_video_output(path: Path, *, overwrite: bool = True) -> None:
    """Make sure that a video could be written there.

    Raises:
        InvalidRequestError: an unknown ending, a file or frames that are there and must stay, a
            folder that cannot be written, or PyAV is missing.

    >>> check_video_output(Path("waves.gif"))
    """
    ending = path.suffix.lower()
    if path.is_dir() or not ending:
        _check_frames_folder(path, overwrite=overwrite)
        return
    if ending not in ENDINGS:
        raise InvalidRequestError(
            f"{path.name!r} does not say what kind of video it should be.",
            hint=f"End the name in one of {', '.join(ENDINGS)}; without an ending it is a folder, "
            "which gets every frame.",
        )
    if ending in _CODECS and not _has_pyav():
        raise InvalidRequestError(
            f"{ending} videos need PyAV, which is not here.", hint=_NEEDS_PYAV
        )
    if path.exists() and not overwrite:
        raise InvalidRequestError(
            f"{path} exists already.", hint="Choose another name, or allow it with --force."
        )
    _check_folder(path.parent)


def save_video(
    frames: Sequence[Image],
    fps: float,
    path: Path,
    recipe: Mapping[str, Any] | None,
    *,
    overwrite: bool = True,
) -> Path:
    """Write a video with its recipe, in one piece or not at all.

    Raises:
        InvalidRequestError: as `check_video_output`, or it cannot be written.
    """
    check_video_output(path, overwrite=overwrite)
    ending = path.suffix.lower()
    if path.is_dir() or not ending:
        return _save_frames(frames, path, recipe, overwrite=overwrite)
    try:
        with written_whole(path, overwrite=overwrite) as file:
            if ending in _CODECS:
                _encode(frames, fps, file, ending, recipe)
            else:
                options = _animation_options(ending, fps, len(frames), recipe)
                frames[0].save(
                    file,
                    _ANIMATIONS[ending],
                    save_all=True,
                    append_images=list(frames[1:]),
                    loop=0,
                    **options,
                )
    except OSError as error:
        raise InvalidRequestError(
            f"The video cannot be written to {path}: {error.strerror or error}.",
            hint="Choose another place with -o.",
        ) from error
    return path


def read_video_recipe(path: Path) -> dict[str, Any]:
    """The recipe in a video that sdcpu saved.

    Raises:
        InvalidRequestError: it cannot be read, or carries no recipe of ours.
    """
    ending = path.suffix.lower()
    if ending not in _CODECS and ending != ".gif":
        return read_recipe(path)
    written = _comment_of_container(path) if ending in _CODECS else _comment_of_gif(path)
    try:
        recipe = json.loads(written[:MAX_RECIPE_BYTES])
    except (ValueError, RecursionError):
        recipe = None
    if not isinstance(recipe, dict) or "recipe_version" not in recipe:
        raise InvalidRequestError(
            f"{path} carries no recipe of sdcpu.",
            hint="Only videos saved by sdcpu, and not edited since, can be made again.",
        )
    return recipe


def first_frame(path: Path) -> Image:
    """The first frame of a video file.

    Raises:
        InvalidRequestError: it cannot be read.
    """
    if path.suffix.lower() not in _CODECS:
        return read_picture(path, "picture to show")
    with _opened(path) as container:
        for frame in container.decode(video=0):
            image: Image = frame.to_image()
            return image
    raise InvalidRequestError(f"{path} has no frames.")


def _has_pyav() -> bool:
    return find_spec("av") is not None


def _check_frames_folder(folder: Path, *, overwrite: bool) -> None:
    if not folder.exists():
        _check_folder(folder.parent)
        return
    if not folder.is_dir():
        raise InvalidRequestError(
            f"{folder} is a file, not a folder for frames.",
            hint=f"End the name in one of {', '.join(ENDINGS)}, or choose another.",
        )
    _check_folder(folder)
    if not overwrite and (folder / _FRAME_NAME.format(1)).exists():
        raise InvalidRequestError(
            f"{folder} has frames in it already.",
            hint="Choose another folder, or allow it with --force.",
        )


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidRequestError(
            f"There is no folder {folder}.", hint="Create it, or choose another place with -o."
        )
    if not os.access(folder, os.W_OK):
        raise InvalidRequestError(
            f"The folder {folder} cannot be written.", hint="Choose another place with -o."
        )


def _save_frames(
    frames: Sequence[Image], folder: Path, recipe: Mapping[str, Any] | None, *, overwrite: bool
) -> Path:
    folder.mkdir(exist_ok=True)
    for number, frame in enumerate(frames, 1):
        save_picture(frame, folder / _FRAME_NAME.format(number), recipe, overwrite=overwrite)
    return folder


def _encode(
    frames: Sequence[Image],
    fps: float,
    file: Any,
    ending: str,
    recipe: Mapping[str, Any] | None,
) -> None:
    """Write MP4 or WebM; their colours are halved in size, so sides must be even."""
    import av

    codec, options = _CODECS[ending]
    frame_of: Any = av.VideoFrame
    width, height = (side // 2 * 2 for side in frames[0].size)
    try:
        with av.open(file, "w", format=ending[1:]) as container:
            if recipe is not None:
                container.metadata[_COMMENT] = json.dumps(recipe, ensure_ascii=False)
            rate = Fraction(fps).limit_denominator(1001)
            stream: Any = container.add_stream(codec, rate, options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for image in frames:
                frame = frame_of.from_image(image.convert("RGB").crop((0, 0, width, height)))
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise OSError(error.errno, f"PyAV says: {error.strerror}") from error


def _animation_options(
    ending: str, fps: float, count: int, recipe: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What Pillow's save() needs for an animation."""
    if ending == ".gif":
        comment = {} if recipe is None else {"comment": json.dumps(recipe).encode()}
        return {"duration": list(_milliseconds(fps, count, unit=10)), **comment}
    stored = {} if recipe is None else recipe_options(recipe, "WEBP")
    return {"duration": list(_milliseconds(fps, count)), "quality": _WEBP_QUALITY, **stored}


def _milliseconds(fps: float, count: int, unit: int = 1) -> Iterator[int]:
    """How long each frame is shown: whole units that add up to the right time.

    >>> list(_milliseconds(16, 4, unit=10))
    [60, 60, 70, 60]
    """
    ends = [round(frame * 1000 / fps / unit) * unit for frame in range(count + 1)]
    return (after - before for before, after in pairwise(ends))


def _comment_of_container(path: Path) -> str:
    with _opened(path) as container:
        tags = {name.lower(): str(text) for name, text in container.metadata.items()}
    return tags.get(_COMMENT, "")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A container to read; what PyAV raises becomes an error of ours."""
    if not _has_pyav():
        raise InvalidRequestError(f"{path} can only be read with PyAV.", hint=_NEEDS_PYAV)
    import av

    try:
        with av.open(str(path)) as container:
            yield container
    except (av.FFmpegError, OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{path} is not a video that can be read: {error}.") from error


def _comment_of_gif(path: Path) -> str:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            comment = image.info.get("comment", b"")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InvalidRequestError(f"{path} is not a GIF that can be read: {error}.") from error
    except Image.DecompressionBombError as error:
        raise InvalidRequestError(f"{path} is too large: {error}.") from error
    return comment.decode(errors="replace") if isinstance(comment, bytes) else str(comment)
