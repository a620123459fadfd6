"""MindSpore's operators that the network's layers are made of: `from network import operators as op`, `op.reshape`.

They are objects, where functions and methods of tensors would read better: MindSpore works out the types of a
function's body anew wherever it is called, which is most of the time that a network takes to compile.
"""

from mindspore import ops

# One number at a time.
cast, maximum, negate, power, relu, square = ops.Cast(), ops.Maximum(), ops.Neg(), ops.Pow(), ops.ReLU(), ops.Square()

# Matrix products, [rows, inputs] by [outputs, inputs]; the batched ones, of each mixture by itself. Over frames:
# [M, K, a] by [M, K, b] -> [M, a, b].
product, batch_product = ops.MatMul(transpose_b=True), ops.BatchMatMul(transpose_b=True)
product_over_frames = ops.BatchMatMul(transpose_a=True)

# Sums over axes, which stay with size 1, or go away.
sum_over, sum_away = ops.ReduceSum(keep_dims=True), ops.ReduceSum(keep_dims=False)

# Making, cutting and joining; features are [M, K, channels].
zeros, ones, reshape, cut = ops.Zeros(), ops.Ones(), ops.Reshape(), ops.Slice()
join_frames, join_channels, stack = ops.Concat(1), ops.Concat(2), ops.Stack(0)
