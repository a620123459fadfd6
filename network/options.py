"""The options of a network: what its checkpoint carries, and what together cannot be honoured."""

import argparse
import json
from dataclasses import asdict, dataclass, fields

from common.errors import UserError
from config import NETWORK


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
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Shapes of those of the network's weights that all sizes but X and R can be read off."""
        shapes = {
            "encoder.weight": (self.N, self.L),
            "decoder.weight": (self.N, self.L),
            "separator.bottleneck.weight": (self.B, self.N),
            "separator.blocks.0.conv_in.weight": (self.H, self.B),
            "separator.blocks.0.depthwise.weight": (self.P, self.H),
            "separator.conv_masks.weight": (self.C * self.N, self.Sc or self.B),
        }
        return shapes | ({"separator.blocks.0.conv_skip.weight": (self.Sc, self.H)} if self.Sc else {})

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
