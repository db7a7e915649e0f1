"""The words that the model learns, as numbers; all other words share one.

Numbers here are rows of the narrow token table. `clip_tokens.json` holds the token of every word in
CLIP's own vocabulary, which is what the engine looks up.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from sdcpu.demo.words import SYNONYMS, WORDS

BEGIN, END, UNKNOWN = 0, 1, 2
LENGTH = 77
"""Tokens of a prompt; the rest is filled with `END`."""

_TOKENS: dict[str, list[int]] = json.loads(
    Path(__file__).with_name("clip_tokens.json").read_text(encoding="ascii")
)
"""CLIP's tokens for every word here."""
_TOKEN_ROWS = {
    token: row
    for row, token in enumerate(dict.fromkeys(t for word in WORDS for t in _TOKENS[word]), 3)
}
_ROWS = {word: [_TOKEN_ROWS[token] for token in _TOKENS[word]] for word in WORDS}
_ROWS |= {word: _ROWS[known] for word, known in SYNONYMS.items()}
ROWS = len(_TOKEN_ROWS) + 3
"""Rows of the token table."""
_TOKEN = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")


def encode(text: str) -> list[int]:
    """Rows of the token table for a prompt, always `LENGTH` of them.

    >>> encode("a fluffy box")[2] == UNKNOWN
    True
    >>> encode("box") == encode("square")
    True
    """
    words = _TOKEN.findall(text.lower())
    rows = [row for word in words for row in _ROWS.get(word, [UNKNOWN])][: LENGTH - 2]
    return [BEGIN, *rows, *[END] * (LENGTH - 1 - len(rows))]


def clip_tokens() -> tuple[list[int], list[tuple[int, int]]]:
    """CLIP's token for each row (-1 for unknown words), and (token, row) of each synonym."""
    rows = [49406, 49407, -1, *_TOKEN_ROWS]
    return rows, [(_TOKENS[word][0], _ROWS[known][0]) for word, known in SYNONYMS.items()]
