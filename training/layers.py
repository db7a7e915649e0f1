"""Narrow layers: each channel stands for a number of equal channels of the full-size network.

Segments say which: `((160, 2),)` is 160 channels that stand for two each, so 320. Concatenations
have several segments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

Segments = tuple[tuple[int, int], ...]
"""(channels, copies) of neighbouring channels that widen alike."""


def narrow(segments: Segments) -> int:
    """Count the channels here.

    >>> narrow(((64, 5), (128, 10)))
    192
    """
    return sum(channels for channels, _ in segments)


def wide(segments: Segments) -> int:
    """Count the channels of the full-size network.

    >>> wide(((64, 5), (128, 10)))
    1600
    """
    return sum(channels * copies for channels, copies in segments)


class LowRank(nn.Module):
    """A small change to a weight: the product of a tall and a flat matrix, in 8-bit numbers.

    Training sees the rounded numbers (gradients pass through), so that what is stored is what was
    trained.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape[0], weight[0].numel()
        self.up = nn.Parameter(torch.zeros(outputs, rank))
        self.down = nn.Parameter(torch.randn(rank, inputs) * inputs**-0.5)

    def factors(self) -> tuple[Tensor, Tensor]:
        """Both as they are stored: (outputs, rank) and (rank, inputs)."""
        return round_to_int8(self.up), round_to_int8(self.down)


def int8_scale(values: Tensor) -> Tensor:
    """What one step of an 8-bit number is worth."""
    return (values.detach().abs().amax() / 127).clamp(min=1e-12)


def round_to_int8(values: Tensor) -> Tensor:
    """Round to 255 steps; the gradient passes as if nothing was done."""
    scale = int8_scale(values)
    return values + ((values / scale).round() * scale - values).detach()


class Adaptable(nn.Module):
    """A layer whose weight a `LowRank` may change.

    The change is computed beside the weight: nothing is spent on the gradient of a large weight
    that is not trained.
    """

    weight: nn.Parameter
    adapter: LowRank | None

    @torch.no_grad()
    def keep_change(self) -> None:
        """Make the change a part of the weight; another may follow."""
        if self.adapter is not None:
            up, down = self.adapter.factors()
            self.weight += (up @ down).view_as(self.weight)
            self.adapter = None


class Linear(Adaptable, nn.Linear):
    """A matrix."""

    def __init__(self, inputs: Segments, outputs: Segments, *, bias: bool = True) -> None:
        nn.Linear.__init__(self, narrow(inputs), narrow(outputs), bias)
        self.adapter = None

    def forward(self, x: Tensor) -> Tensor:
        """Shape (…, inputs) to (…, outputs)."""
        result = functional.linear(x, self.weight, self.bias)
        if self.adapter is None:
            return result
        up, down = self.adapter.factors()
        return result + functional.linear(functional.linear(x, down), up)


class Convolution(Adaptable, nn.Conv2d):
    """A convolution that keeps the size, or halves it with stride 2."""

    def __init__(
        self,
        inputs: Segments,
        outputs: Segments,
        *,
        kernel: int = 3,
        stride: int = 1,
        bias: bool = True,
    ) -> None:
        nn.Conv2d.__init__(
            self, narrow(inputs), narrow(outputs), kernel, stride, kernel // 2, bias=bias
        )
        self.adapter = None

    def forward(self, x: Tensor) -> Tensor:
        """Shape (pictures, channels, height, width)."""
        result = functional.conv2d(x, self.weight, self.bias, self.stride, self.padding)
        if self.adapter is None:
            return result
        up, down = self.adapter.factors()
        down = down.view(-1, *self.weight.shape[1:])
        inner = functional.conv2d(x, down, None, self.stride, self.padding)
        return result + functional.conv2d(inner, up[..., None, None])


class GroupNorm(nn.Module):
    """Group norm in 32 groups of the full-size network's channels, of which it sees one copy each.

    With `activated` it is followed by SiLU.
    """

    groups = 32
    share: Tensor

    def __init__(self, channels: Segments, *, activated: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(narrow(channels)))
        self.bias = nn.Parameter(torch.zeros(narrow(channels)))
        self.activated = activated
        self.alike = len({copies for _, copies in channels}) == 1
        per_group, place = wide(channels) // self.groups, 0
        share = torch.zeros(self.groups, narrow(channels))
        copies_of = [copies for count, copies in channels for _ in range(count)]
        for channel, copies in enumerate(copies_of):
            if place // per_group != (place + copies - 1) // per_group:
                raise ValueError("copies of one channel lie in two groups")
            share[place // per_group, channel] = copies / per_group
            place += copies
        self.register_buffer("share", share, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (pictures, channels, height, width)."""
        if self.alike and not x.is_cuda:
            x = functional.group_norm(x, self.groups, self.weight, self.bias, 1e-6)
            return functional.silu(x) if self.activated else x
        return weighted_group_norm(x, self.weight, self.bias, self.share, self.activated)


def weighted_group_norm(
    x: Tensor, weight: Tensor, bias: Tensor, share: Tensor, activated: bool
) -> Tensor:
    """Group norm in which `share`, shape (groups, channels), says how much each channel counts."""
    whole = x.float()
    mean = (whole.mean((2, 3))[:, None] * share).sum(2)
    square = (whole.square().mean((2, 3))[:, None] * share).sum(2)
    scale = (square - mean.square()).clamp(min=0).add(1e-6).rsqrt()
    member = (share > 0).float()
    factor = (scale[:, :, None] * member).sum(1) * weight
    shift = bias - ((mean * scale)[:, :, None] * member).sum(1) * weight
    result = whole * factor[..., None, None] + shift[..., None, None]
    return (functional.silu(result) if activated else result).to(x.dtype)


def gate(x: Tensor) -> Tensor:
    """The first half of the channels times the activation of the second."""
    values, gates = x.chunk(2, -1)
    return values * functional.gelu(gates, approximate="tanh")


def fuse() -> None:
    """Compile the steps that read and write much and compute little; for CUDA machines."""
    global weighted_group_norm, gate  # noqa: PLW0603 - all layers look them up at each call
    torch._dynamo.config.cache_size_limit = 64
    torch._dynamo.config.suppress_errors = True  # what cannot be compiled runs as it is
    weighted_group_norm = torch.compile(weighted_group_norm, dynamic=True)
    gate = torch.compile(gate, dynamic=True)


class LayerNorm(nn.LayerNorm):
    """Layer norm; copies change neither mean nor variance."""

    def __init__(self, channels: Segments) -> None:
        super().__init__(narrow(channels), eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (…, channels); keeps the type, computes in f32."""
        with torch.autocast(x.device.type, enabled=False):
            kind = x.dtype
            weight, bias = self.weight.to(kind), self.bias.to(kind)
            return functional.layer_norm(x, self.normalized_shape, weight, bias, self.eps)


def add_adapters(module: nn.Module, rank_of: Callable[[str], int]) -> nn.ModuleDict:
    """Give every adaptable layer a change of the rank for its name to learn, none where that is 0.

    Returns the changes, named as their layers with "/" in place of ".".
    """
    changes = nn.ModuleDict()
    for name, layer in adaptable_layers(module):
        if rank := rank_of(name):
            layer.adapter = LowRank(layer.weight, rank).to(layer.weight.device)
            changes[name.replace(".", "/")] = layer.adapter
    return changes


def share_adapters(module: nn.Module, changes: nn.ModuleDict) -> None:
    """Give the layers of another network of this shape the same changes."""
    for name, layer in adaptable_layers(module):
        key = name.replace(".", "/")
        if key in changes:
            layer.adapter = changes[key]  # type: ignore[assignment]


def adaptable_layers(module: nn.Module) -> Iterator[tuple[str, Adaptable]]:
    """Every layer that can be changed, and its name."""
    for name, layer in module.named_modules():
        if isinstance(layer, Adaptable):
            yield name, layer
