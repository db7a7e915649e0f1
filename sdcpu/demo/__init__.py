"""The small model that ships with the package: drawn with when nothing else is there."""

from sdcpu.demo.files import demo_files, demo_files_ready, remove_demo_files
from sdcpu.demo.words import KNOWN_WORDS, unknown_words

__all__ = [
    "KNOWN_WORDS",
    "demo_files",
    "demo_files_ready",
    "remove_demo_files",
    "unknown_words",
]
