"""model.py: frames and overlap-add against direct formulas, lengths, padding, causality, size."""

import itertools
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest

from model import ConvTasNet, Decoder, Encoder
from network.options import NetworkOptions, parameter_count

PADDINGS = ["tail", "none", "both"]
SIZES = dict(N=12, L=8, B=6, H=8, X=2, R=1)


@pytest.fixture(autouse=True)
def pynative(device):
    """Nothing here depends on the graph, and many shapes would be compiled."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


def network(**options):
    """A network with random gains, biases and running statistics, so that none can be left out unseen."""
    net = ConvTasNet(NetworkOptions(**SIZES | options), 8000)
    random = np.random.default_rng(0)
    for name, parameter in net.parameters_and_names():
        if name.endswith(("gain", "slope", "running_variance")):
            parameter.set_data(ms.Tensor(random.uniform(0.5, 1.5, parameter.shape).astype(np.float32)))
        elif name.endswith(("bias", "running_mean")):
            parameter.set_data(ms.Tensor(random.normal(0, 0.3, parameter.shape).astype(np.float32)))
    return net.set_train(False)


def mixtures(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def compute(net, mixture, lengths=None):
    lengths = None if lengths is None else ms.Tensor(lengths, ms.int32)
    return net(ms.Tensor(mixture), lengths).asnumpy()


def frame_starts(T, L, padding):
    """First sample of each frame, counted from the mixture's own."""
    hop = L // 2
    if padding == "both":
        return [start for start in range(-hop, T, hop) if start + hop < T] + [(T - 1) // hop * hop]
    if padding == "none":
        return [start for start in range(0, T, hop) if start + L <= T] or [0]
    return [start for start in range(0, T, hop) if start + hop < T] or [0]


@pytest.mark.parametrize(("L", "padding"), [(2, "tail"), (20, "tail"), (8, "none"), (16, "both")])
def test_frames_and_overlap_add_at_lengths_1_to_200(L, padding):
    """With unit filters the encoder's features are the frames, and the decoder's features are its frames."""
    options = SimpleNamespace(N=L, L=L, hop=L // 2, padding=padding, encoder_relu=0)
    encoder, decoder = (cell(options, np.random.default_rng(0)) for cell in (Encoder, Decoder))
    for cell in (encoder, decoder):
        cell.weight.set_data(ms.Tensor(np.eye(L, dtype=np.float32)))
    random = np.random.default_rng(L)
    for T in range(1, 201):
        starts = frame_starts(T, L, padding)
        mixture = random.standard_normal((2, T)).astype(np.float32)
        surrounded = np.pad(mixture, ((0, 0), (L, 2 * L)))
        expected = np.stack([surrounded[:, L + start : 2 * L + start] for start in starts], 1)  # [M, K, L]
        np.testing.assert_array_equal(encoder(ms.Tensor(mixture)).asnumpy(), expected)

        frames = random.standard_normal((2, len(starts), 3, L)).astype(np.float32)  # [M, K, C, L]
        expected = np.zeros((2, 3, T + 3 * L), np.float32)
        for k, start in enumerate(starts):
            expected[:, :, L + start : 2 * L + start] += frames[:, k]
        samples = decoder(ms.Tensor(frames), T).asnumpy()
        np.testing.assert_allclose(samples, expected[:, :, L : L + T], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("padding", PADDINGS)
def test_output_is_as_long_as_the_input(padding):
    net = network(padding=padding, C=3, X=1)
    for T in range(1, 61):
        estimates = compute(net, mixtures(2, T))
        assert estimates.shape == (2, 3, T)
        assert np.isfinite(estimates).all()
        heard = T if padding != "none" else max(T // 4 * 4, 8)  # the rest is an incomplete frame
        assert not estimates[:, :, heard:].any()
        assert estimates[:, :, : min(heard, T)].any()


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("Sc", [0, 5])
@pytest.mark.parametrize("norm_type", ["gLN", "cLN", "cgLN", "BN"])
def test_padding_changes_nothing(norm_type, Sc, padding):
    """Alone or in a longer batch with noise behind its end, an utterance gives the same samples, and zeros after."""
    net = network(norm_type=norm_type, Sc=Sc, padding=padding, bias=1, mask_prelu=1)
    lengths = [1, 37, 102, 203]
    batch = mixtures(len(lengths), 203)
    together = compute(net, batch, lengths)
    for m, length in enumerate(lengths):
        alone = compute(net, batch[m : m + 1, :length])[0]
        np.testing.assert_allclose(together[m, :, :length], alone, atol=1e-5 * max(1, np.abs(alone).max()))
        assert not together[m, :, length:].any()


def test_a_row_of_length_0_is_silence_and_finite():
    estimates = compute(network(), mixtures(2, 50), [50, 0])
    assert np.isfinite(estimates).all()
    assert not estimates[1].any()


def first_change(net, T, t):
    """The first sample of the output that changes once the input changes from sample t on."""
    mixture = mixtures(1, T)
    changed = mixture.copy()
    changed[:, t:] += 1
    difference = np.abs(compute(net, mixture) - compute(net, changed)).max((0, 1))  # [T]
    return np.flatnonzero(difference > 1e-6)[0]


@pytest.mark.parametrize(
    ("norm_type", "Sc", "P", "padding"),
    [("cLN", 0, 3, "none"), ("cgLN", 5, 3, "both"), ("cgLN", 0, 2, "tail"), ("BN", 5, 4, "tail")],
)
def test_causal_network_does_not_look_ahead(norm_type, Sc, P, padding):
    """It hears the frames that sample t is in, no more: the earliest of them begins less than L samples before."""
    net = network(norm_type=norm_type, Sc=Sc, P=P, causal=1, padding=padding, X=3)
    for t in (40, 101):
        assert t - SIZES["L"] < first_change(net, 203, t) <= t


@pytest.mark.parametrize("options", [dict(norm_type="cLN"), dict(norm_type="gLN"), dict(norm_type="BN")])
def test_other_networks_look_ahead(options):
    assert first_change(network(X=3, **options), 203, 160) < 160 - SIZES["L"]


def test_softmax_masks_add_up_to_the_mixture_of_the_decoder():
    net, mixture = network(mask_nonlinear="softmax", C=3), mixtures(1, 101)
    w = net.encoder(ms.Tensor(mixture))  # [M, K, N]
    whole = net.decoder(w.expand_dims(2), 101).asnumpy()  # [M, 1, T]
    np.testing.assert_allclose(compute(net, mixture).sum(1, keepdims=True), whole, atol=1e-5)


@pytest.mark.parametrize(("nonlinear", "largest"), [("sigmoid", 1.0), ("relu", np.inf), ("softmax", 1.0)])
def test_range_of_the_masks(nonlinear, largest):
    net = network(mask_nonlinear=nonlinear, bias=1)
    w = ms.Tensor(np.abs(mixtures(2, 10, 12)))
    masks = net.separator(w, ms.Tensor(np.ones((2, 10, 1), np.float32))).asnumpy()
    assert masks.shape == (2, 10, 2, 12)
    assert masks.min() >= 0
    assert 0 < masks.max() <= largest
    assert (masks == 0).any() == (nonlinear == "relu")


def closed_count(N, L, B, H, P, X, R, C, Sc, bias, mask_prelu):
    """Trained numbers: two filter banks, a norm, bottleneck, blocks, masks."""
    block = B * H + H * P + H * B + H * Sc + 2 * (1 + 2 * H) + bias * (H + H + B + Sc)
    unused = (H * B + bias * B) * (Sc > 0)  # the last residual where the skip path makes the masks
    masks = (Sc or B) * C * N + bias * C * N + mask_prelu
    return 2 * N * L + 2 * N + N * B + bias * B + R * X * block - unused + masks


@pytest.mark.parametrize(("Sc", "bias", "mask_prelu"), list(itertools.product([0, 7], [0, 1], [0, 1])))
def test_parameter_count(Sc, bias, mask_prelu):
    sizes = dict(N=13, L=6, B=5, H=11, P=3, X=3, R=2, C=3, Sc=Sc, bias=bias, mask_prelu=mask_prelu)
    for norm_type in ("gLN", "BN"):  # running statistics are not trained
        assert parameter_count(ConvTasNet(NetworkOptions(**sizes, norm_type=norm_type), 8000)) == closed_count(**sizes)


def test_parameter_count_of_the_defaults():
    """The sum over the defaults N512 L20 B256 H512 P3 X8 R4 C2, by hand."""
    block = 256 * 512 + 512 * 3 + 512 * 256 + 2 * (1 + 1024)
    by_hand = 2 * 512 * 20 + 1024 + 512 * 256 + 32 * block + 256 * 1024
    assert parameter_count(ConvTasNet(NetworkOptions(), 8000)) == by_hand == 8_918_080


def test_seed_decides_the_weights():
    options = NetworkOptions(**SIZES)
    first, same, other = (ConvTasNet(options, 8000, seed) for seed in (3, 3, 4))
    for p, q, r in zip(*(net.trainable_params() for net in (first, same, other)), strict=True):
        np.testing.assert_array_equal(p.asnumpy(), q.asnumpy())
        assert p.name.endswith(("gain", "bias", "slope")) or (p.asnumpy() != r.asnumpy()).any()
