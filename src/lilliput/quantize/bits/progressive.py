"""Bits that fall while a network trains, so that it is never far from one that works."""

from dataclasses import dataclass

from torch import Tensor, nn

from lilliput.quantize.numbers.fake import quantizers

__all__ = ["LowerBits"]


@dataclass(frozen=True)
class LowerBits:
    """A `TrainingHook` that begins with more bits than the quantizers have and takes them away.

    The bits fall one by one, at equal distances over the first `share` of the epochs; the rest of
    the training, its last epoch at least, has the bits that were asked for. A quantizer with
    `start` bits or more stays. A training that its time limit ends keeps the bits that it had then.

    Args:
        start: Bits of the first epoch, 3 to 16.
        share: Share of the epochs after which the last bit is gone, 0 to 1.

    Source: Zhuang et al. 2018, "Towards Effective Low-bitwidth Convolutional Neural Networks",
    section 3.3 (progressive quantization).
    """

    start: int = 8
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 3 <= self.start <= 16:
            raise ValueError(f"start must be 3 to 16 bits, got {self.start}")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be 0 to 1, got {self.share}")

    def on_step(self, module: nn.Module, step: int, steps: int, /) -> None:
        """Does nothing: bits fall between epochs."""

    def on_epoch(self, module: nn.Module, epoch: int, epochs: int, /) -> None:
        """Gives each quantizer the bits of this epoch; its range stays."""
        for quantizer in quantizers(module).values():
            quantizer.set_bits(self.bits(quantizer.last_type.bits, epoch, epochs))

    def penalty(self, module: nn.Module, /) -> Tensor | None:
        """Adds nothing to the loss."""

    def bits(self, last: int, epoch: int, epochs: int) -> int:
        """How many bits a quantizer of `last` bits has in an epoch, counted from 0."""
        falling = min(int(self.share * epochs), epochs - 1)
        if epoch >= falling or last >= self.start:
            return last
        return self.start - epoch * (self.start - last) // falling
