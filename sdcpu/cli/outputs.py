"""Where pictures go: names that overwrite nothing, checked before any work is done."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sdcpu.errors import InvalidRequestError
from sdcpu.picture_names import picture_stem, unused_path

if TYPE_CHECKING:
    from sdcpu.images import GeneratedImage
    from sdcpu.videos import GeneratedVideo


class Outputs:
    """The names of the pictures of one request."""

    def __init__(self, wanted: Path | None, *, count: int, force: bool) -> None:
        """Check that the pictures can be written.

        Raises:
            InvalidRequestError: a file that is there already, an unknown ending, a folder that is
                missing or cannot be written.
        """
        self._force = force
        folder = wanted if wanted is not None and _is_folder(wanted) else None
        self._wanted = wanted if folder is None else None
        self._folder = folder or Path()
        self._count = count
        if self._wanted:
            from sdcpu.recipe import check_output

            for index in range(count):
                check_output(self._numbered(self._wanted, index), overwrite=force)
            self._folder = self._wanted.parent
        check_folder(self._folder)

    def save(self, image: GeneratedImage) -> Path:
        """Write a picture under its name, which is returned."""
        if self._wanted:
            return image.save(self._numbered(self._wanted, image.index), overwrite=self._force)
        stem = picture_stem(image.request.prompt, image.seed)
        return image.save(unused_path(self._folder, stem, ".png"), overwrite=False)

    def _numbered(self, path: Path, index: int) -> Path:
        if self._count == 1:
            return path
        return path.with_name(f"{path.stem}-{index + 1}{path.suffix}")


class VideoOutput:
    """The name of one video."""

    def __init__(self, wanted: Path | None, *, force: bool) -> None:
        """Check that the video can be written.

        Raises:
            InvalidRequestError: as `Outputs`, or what writes this kind of video is missing.
        """
        self._wanted, self._force = wanted, force
        if wanted is None:
            check_folder(Path())
        else:
            from sdcpu.video_files import check_video_output

            check_video_output(wanted, overwrite=force)

    def save(self, video: GeneratedVideo) -> Path:
        """Write the video under its name, which is returned."""
        if self._wanted is not None:
            return video.save(self._wanted, overwrite=self._force)
        from sdcpu.video_files import usual_ending

        stem = picture_stem(video.request.prompt, video.seed)
        return video.save(unused_path(Path(), stem, usual_ending()), overwrite=False)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long; writing to it will say so
        return False


def check_folder(folder: Path) -> None:
    """Make sure that files can be written into a folder, by trying.

    Raises:
        InvalidRequestError: they cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidRequestError(
            f"The folder {folder.resolve()} cannot be written: {error.strerror or error}.",
            hint="Choose another place.",
        ) from error


def made_folder(folder: Path) -> Path:
    """The folder itself, which is made where it is not there, and can be written.

    Raises:
        InvalidRequestError: a file is in its place, or it can neither be made nor written.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise InvalidRequestError(
            f"The folder {folder} cannot be made: {error.strerror or error}.",
            hint="Choose another place.",
        ) from error
    check_folder(folder)
    return folder


def check_file(path: Path, *, force: bool) -> None:
    """Make sure that a file which is not a picture can be written, and replaces nothing unasked.

    Raises:
        InvalidRequestError: it cannot, or it would.
    """
    if path.is_dir() or (path.exists() and not force):
        raise InvalidRequestError(
            f"{path} exists already.", hint="Choose another name, or allow it with --force."
        )
    if not path.parent.is_dir():
        raise InvalidRequestError(f"There is no folder {path.parent}.", hint="Create it first.")
    check_folder(path.parent)
