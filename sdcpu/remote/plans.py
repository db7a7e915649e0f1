"""What is known beforehand about a picture that another machine draws."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class RemotePlan:
    """Where the words of a request go, and what is said there about the picture."""

    address: str
    """The server's address, without anything secret."""
    model: str | None
    """As asked for; None: what is usual there."""
    warning: str
    """What speaks against sending anything there; "" where nothing does."""
    reasons: tuple[str, ...] = ()
    """What the server says about how it will draw."""
    seconds_expected: float | None = None
    """For the whole request, as the server measured; None while unknown."""

    @property
    def notice(self) -> str:
        """The sentence that a person has to see before anything is sent."""
        sent = f"The prompt, and pictures that belong to it, leave this machine: {self.address}"
        return f"{sent}. {self.warning}".strip() if self.warning else f"{sent}."
