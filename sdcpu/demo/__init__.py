"""The small models that ship with the package: drawn with when nothing else is there."""

from sdcpu.demo.files import demo_files, make_demo_files, ready_demo_files, remove_demo_files
from sdcpu.demo.words import KNOWN_WORDS, unknown_words, unknown_words_note, vocabulary

__all__ = [
    "KNOWN_WORDS",
    "demo_files",
    "make_demo_files",
    "ready_demo_files",
    "remove_demo_files",
    "unknown_words",
    "unknown_words_note",
    "vocabulary",
]
