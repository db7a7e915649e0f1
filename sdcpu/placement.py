"""Where the parts of a model are while a card computes that may be too small for all of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What is not on the card all the time; nothing, unless it is too small.

    >>> Placement(text_on_processor=True).uses_processor
    True
    """

    text_on_processor: bool = False
    """The processor reads the prompt; the text encoder is in main memory only."""
    decoder_on_processor: bool = False
    """The processor decodes (and encodes) pictures; the decoder is in main memory only."""
    offloaded: bool = False
    """Weights wait in main memory; those of a part are copied to the card for its turn."""

    @property
    def uses_processor(self) -> bool:
        """Whether the processor computes a part."""
        return self.text_on_processor or self.decoder_on_processor

    @property
    def label(self) -> str:
        """Some words that tell it from others; "" when everything is on the card.

        >>> Placement(offloaded=True).label
        'offloaded'
        """
        names = (
            ("text on processor", self.text_on_processor),
            ("decoder on processor", self.decoder_on_processor),
            ("offloaded", self.offloaded),
        )
        return ", ".join(name for name, chosen in names if chosen)


ON_CARD = Placement()
"""Everything is on the card."""
