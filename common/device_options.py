"""The options of where to compute and in what precision, which config.py takes into its groups."""

DEVICE = {
    "device_target": dict(choices=("Ascend", "GPU", "CPU"), default=None, help="where to compute; default: the best"),
    "device_id": dict(type=int, default=None, help="number of the card; default: the environment's DEVICE_ID, or 0"),
    "jit_level": dict(
        choices=("O0", "O1"),
        default=None,
        help="how Ascend runs a graph. O0: one operator after another, which compiles soonest; O1: with operators"
        " fused, which takes longer to compile and less at each step; default: what MindSpore takes for the card",
    ),
    "hf32": dict(
        type=int,
        choices=(0, 1),
        default=0,
        help="1: Ascend's products of float32 in HF32, which are faster and keep 11 bits of the mantissa, three digits;"
        " of A2 cards and later",
    ),
}

PRECISION = {
    "amp_level": dict(
        choices=("O0", "O2", "O3"),
        default="O0",
        help="O0: all in float32; O2: the separator's matrix products in --amp_type; O3, on a CPU also O2: all of them",
    ),
    "amp_type": dict(
        choices=("float16", "bfloat16"), default="float16", help="of --amp_level; on a CPU bfloat16 alone"
    ),
}
