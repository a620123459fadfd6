"""The written-out gradients, the sums of the depthwise convolution in Triton, and the loss."""

import os

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="requirements/extras.txt is not installed")

from torch.nn import functional as F

from checkpoints.gpu_training import block
from checkpoints.gpu_training.fast import Functions
from checkpoints.gpu_training.objective import improvement, separation_loss

M, K, B, H = 2, 23, 5, 6
CAUSAL = pytest.mark.parametrize("causal", [False, True], ids=["gLN", "cgLN"])


def random_weights():
    shapes = [(H, B), (H,), (1,), (H,), (H,), (3, H), (H,), (1,), (H,), (H,), (B, H), (B,)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def plain_norm(x, gain, shift, causal):
    """gLN or cgLN of x [M, H, K], by the paper's formulas."""
    if causal:
        parts = [plain_norm(x[:, :, : k + 1], gain, shift, False)[:, :, -1:] for k in range(x.shape[2])]
        return torch.cat(parts, 2)
    mean, variance = x.mean((1, 2), keepdim=True), x.var((1, 2), keepdim=True, correction=0)
    return (x - mean) / (variance + 1e-8).sqrt() * gain[:, None] + shift[:, None]


def plain_block(x, dilation, w, causal):
    """The block by PyTorch's own convolutions: x [M, K, B] -> [M, K, B]."""
    y = F.prelu(F.conv1d(x.transpose(1, 2), w.conv_in[:, :, None], w.bias_in), w.slope_in)
    y = plain_norm(y, w.gain_in, w.shift_in, causal)
    y = F.pad(y, (2 * dilation, 0) if causal else (dilation, dilation))
    y = F.conv1d(y, w.taps.t()[:, None], w.bias_taps, dilation=dilation, groups=H)
    y = plain_norm(F.prelu(y, w.slope_out), w.gain_out, w.shift_out, causal)
    return x + F.conv1d(y, w.conv_out[:, :, None], w.bias_out).transpose(1, 2)


@CAUSAL
@pytest.mark.parametrize("dilation", [1, 4, 32])
def test_written_out_gradients_are_those_of_the_plain_formulas(dilation, causal):
    torch.manual_seed(dilation)
    x = torch.randn(M, K, B, dtype=torch.float64, requires_grad=True)
    weights, direction = random_weights(), torch.randn(M, K, B, dtype=torch.float64)
    ours = block.Convolve.apply(Functions(), causal, torch.tensor(dilation), x, *weights)
    plain = plain_block(x, dilation, block.Weights(*weights), causal)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-11)
    found, expected = (torch.autograd.grad(new, [x, *weights], direction) for new in (ours, plain))
    names = "x", *block.Weights._fields
    slopes = max(abs(float(other)) for name, other in zip(names, expected, strict=True) if name.startswith("slope"))
    for name, gradient, other in zip(names, found, expected, strict=True):
        # A slope's gradient is one sum that may nearly cancel, so that the largest of both is its measure.
        largest = slopes if name.startswith("slope") else float(other.abs().max())
        torch.testing.assert_close(gradient, other, rtol=0, atol=1e-10 * largest, msg=name)


@CAUSAL
def test_sums_in_triton_are_the_plain_ones(causal):
    """Without a GPU only Triton's interpreter runs it, which TRITON_INTERPRET=1 asks for before Triton is imported."""
    pytest.importorskip("triton", reason="PyTorch for CPUs has no Triton")
    if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("needs a GPU, or TRITON_INTERPRET=1")
    from checkpoints.gpu_training import kernels

    torch.manual_seed(0)
    where = "cuda" if torch.cuda.is_available() else "cpu"
    mixtures, frames, channels = 3, 70, 64
    du, y = torch.randn(2, mixtures, frames, channels, device=where)
    of_norm = frames if causal else 1
    mean, deviation = torch.randn(2, mixtures, of_norm, 1, device=where)
    for dilation in (1, 8, 40, 128):
        arguments = du, y, torch.tensor(dilation, device=where), mean, deviation, torch.tensor([0.3], device=where), 3
        found, expected = kernels.sums_of_taps(*arguments, causal), block.sums_of_taps(*arguments, causal)
        for ours, plain in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, plain, rtol=0, atol=2e-6 * max(1, float(plain.abs().max())))


def signals(*shape):
    return torch.from_numpy(np.random.default_rng(5).standard_normal(shape)).float()


def test_loss_of_sounding_sources_is_that_of_the_best_order():
    sources = signals(3, 2, 400)
    estimates = sources.flip(1) + 0.1 * signals(3, 2, 400).flip(2)
    loss, losses = separation_loss(estimates, sources, 0.2, -30.0)
    assert losses.shape == (3,) and loss == pytest.approx(float(losses.mean()))
    assert -23 < loss < -17  # noise at -20 dB
    changed = separation_loss(estimates, sources, 5.0, -30.0)[0]
    assert changed == loss  # no source is silent
    assert separation_loss(sources, sources, 0.2, -30.0)[0] == pytest.approx(-30)  # the floor


def test_an_output_whose_source_is_silent_should_be_quieter_than_the_other():
    sources = signals(1, 2, 400)
    sources[:, 1] = 0
    noise = signals(1, 2, 400).flip(2)
    estimates = torch.stack((sources[:, 0] + 0.1 * noise[:, 0], noise[:, 1]), 1)

    def loss(gain, quiet=0.2):
        scaled = estimates * torch.tensor([1.0, gain])[:, None]
        both = [separation_loss(scaled[:, order], sources, quiet, -100.0)[0] for order in ([0, 1], [1, 0])]
        assert both[0] == pytest.approx(float(both[1]))  # whichever output it is
        return float(both[0])

    assert loss(0.1) - loss(0.01) == pytest.approx(0.2 * 10, abs=0.4)  # 20 dB quieter, but 30 dB is the most
    assert loss(0.001) - loss(0.0) == pytest.approx(0, abs=0.05)
    assert loss(0.1, quiet=0.0) == pytest.approx(loss(0.01, quiet=0.0))


def test_a_mixture_of_silence_teaches_nothing():
    estimates = signals(1, 2, 400).requires_grad_()
    loss, losses = separation_loss(estimates, torch.zeros(1, 2, 400), 0.2, -30.0)
    loss.backward()
    assert losses.tolist() == [0] and not estimates.grad.any()


def test_improvement_is_over_the_mixture_and_in_the_best_order():
    sources = signals(2, 4000)
    estimates = sources.flip(0) + 0.1 * signals(2, 4000).flip(1)
    assert improvement(estimates, sources.sum(0), sources) == pytest.approx(20, abs=1)
    assert improvement(sources.sum(0).expand(2, -1), sources.sum(0), sources) == pytest.approx(0, abs=1e-6)
