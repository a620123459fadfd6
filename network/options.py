"""The options of a network: what its checkpoint carries, and what together cannot be honoured."""

import argparse
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from common.errors import UserError
from common.numbers import ceil_div
from config import NETWORK, PRECISION

EPSILON = 1e-8  # of the layer norms, as in the paper's code and the three ports
BATCH_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class NetworkOptions:
    """The options of a network, by the names of config.NETWORK. Raises UserError where they cannot be honoured."""

    N: int = NETWORK["N"]["default"]
    L: int = NETWORK["L"]["default"]
    B: int = NETWORK["B"]["default"]
    Sc: int = NETWORK["Sc"]["default"]
    H: int = NETWORK["H"]["default"]
    P: int = NETWORK["P"]["default"]
    X: int = NETWORK["X"]["default"]
    R: int = NETWORK["R"]["default"]
    C: int = NETWORK["C"]["default"]
    bias: int = NETWORK["bias"]["default"]
    norm_type: str = NETWORK["norm_type"]["default"]
    input_norm: str = NETWORK["input_norm"]["default"]
    causal: int = NETWORK["causal"]["default"]
    mask_nonlinear: str = NETWORK["mask_nonlinear"]["default"]
    mask_prelu: int = NETWORK["mask_prelu"]["default"]
    encoder_relu: int = NETWORK["encoder_relu"]["default"]
    padding: str = NETWORK["padding"]["default"]

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, int) and type(value) is not int:  # JSON also has 1.5, true and NaN
                raise UserError(f"--{field.name} {value}: must be a whole number")
        for name in ("N", "L", "B", "H", "P", "X", "R", "C"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: must be at least 1")
        if self.Sc < 0:
            raise UserError(f"--Sc {self.Sc}: must be 0 (no skip path) or the number of its channels")
        if self.L % 2:
            raise UserError(f"--L {self.L}: frames overlap by half, so L must be even; take {self.L + 1}")
        if self.P % 2 == 0 and not self.causal:
            raise UserError(f"--P {self.P}: a centred convolution needs odd P; take {self.P + 1}, or add --causal 1")
        for name, option in NETWORK.items():
            if getattr(self, name) not in option.get("choices", [getattr(self, name)]):
                raise UserError(f"--{name} {getattr(self, name)}: choose from {', '.join(map(str, option['choices']))}")
        if self.causal and "gLN" in (self.norm_type, self.first_norm):
            raise UserError("--causal 1: gLN looks at the whole mixture; take --norm_type cgLN or cLN"
                            " (and --input_norm same)")  # fmt: skip

    @property
    def first_norm(self) -> str:
        """The norm before the bottleneck."""
        return self.norm_type if self.input_norm == "same" else self.input_norm

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.L // 2

    @property
    def gap(self) -> int:
        """Samples of silence after which one mixture cannot change another in the same row."""
        reach = (self.P - 1) * 2 ** (self.X - 1) // (1 if self.causal else 2)  # frames
        return (reach + 2) * self.hop

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all the network's weights by the names that checkpoints give them."""
        shapes = {"encoder.weight": (self.N, self.L), "decoder.weight": (self.N, self.L)}
        shapes |= self._norm_shapes("separator.norm", self.first_norm, self.N)
        shapes |= self._conv_shapes("separator.bottleneck", self.N, self.B)
        shapes |= {"separator.prelu.slope": (1,)} if self.mask_prelu else {}
        shapes |= self._conv_shapes("separator.conv_masks", self.Sc or self.B, self.C * self.N)
        last = self.R * self.X - 1
        for number in range(last + 1):
            block = f"separator.blocks.{number}"
            shapes |= self._conv_shapes(f"{block}.conv_in", self.B, self.H)
            shapes |= {f"{block}.depthwise.weight": (self.P, self.H)}
            shapes |= {f"{block}.depthwise.bias": (self.H,)} if self.bias else {}
            for side in ("in", "out"):
                shapes |= {f"{block}.prelu_{side}.slope": (1,)}
                shapes |= self._norm_shapes(f"{block}.norm_{side}", self.norm_type, self.H)
            if number < last or not self.Sc:
                shapes |= self._conv_shapes(f"{block}.conv_residual", self.H, self.B)
            if self.Sc:
                shapes |= self._conv_shapes(f"{block}.conv_skip", self.H, self.Sc)
        return shapes

    def _conv_shapes(self, name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (outputs, inputs)} | ({f"{name}.bias": (outputs,)} if self.bias else {})

    @staticmethod
    def _norm_shapes(name: str, norm_type: str, channels: int) -> dict[str, tuple[int, ...]]:
        kept = ("gain", "bias", *(("running_mean", "running_variance") if norm_type == "BN" else ()))
        return {f"{name}.{each}": (channels,) for each in kept}

    @classmethod
    def of(cls, args: argparse.Namespace) -> "NetworkOptions":
        """The network options among parsed arguments."""
        return cls(**{field.name: getattr(args, field.name) for field in fields(cls)})

    def to_json(self) -> str:
        """The options as text, the way a checkpoint carries them."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "NetworkOptions":
        """The options that `to_json` gave as text.

        Raises TypeError, ValueError or RecursionError if it is of another kind, UserError if they cannot be honoured.
        """
        return cls(**json.loads(text))


def check_precision(amp_level: str, amp_type: str) -> None:
    """Raise UserError where the one option makes no sense without the other."""
    if amp_level == "O0" and amp_type != PRECISION["amp_type"]["default"]:
        raise UserError(f"--amp_type {amp_type}: only --amp_level O2 and O3 use it; add one, or leave it out")


def parameter_count(net: Any) -> int:
    """Trained numbers in a network: a cell of MindSpore's, or NumpyNetwork."""
    return sum(parameter.size for parameter in net.trainable_params())


def frame_count(samples: int, hop: int, padding: str) -> int:
    """Frames K, at least one, of so many samples: a number, or a float tensor of them, with one result for each."""
    if padding == "both":
        return ceil_div(samples, hop) + 1
    whole_hops = samples // hop if padding == "none" else ceil_div(samples, hop)
    return whole_hops - 1 + 2 // (whole_hops + 1)  # at least 1, without a branch: an export may leave T open
