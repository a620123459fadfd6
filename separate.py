"""Separate recordings into their speakers.

    python separate.py --model_path exp/best.ckpt meeting.wav call.flac --out_dir separated

writes separated/meeting_s1.wav, separated/meeting_s2.wav, separated/call_s1.wav ..., each at the rate and exactly of
the length of its recording. The network hears what its own sample rate can carry: nothing above half of that rate is
in its output.

A network trained for SI-SNR leaves the levels of its estimates open. Here each gets the gain with which all of them
together come closest to the recording; a gain leaves an estimate's SI-SNR as it is. Files are 16-bit PCM, or 32-bit
float if a sample would be clipped in that.
"""

import os
import sys

from device import set_device

import mindspore as ms
import numpy as np
from scipy.signal import resample_poly
from tqdm import tqdm

from audio import audio_info, read_audio, write_wav
from config import parse
from data import padded_length
from errors import UserError, run
from model import load_model


def main(argv=None):
    args = parse(__doc__, "model_file", "separation", "device", argv=argv)
    set_device(args.device_target, args.device_id)
    net = load_model(args.model_path)
    targets = output_paths(args.files, args.out_dir, net.options.C)
    try:
        os.makedirs(args.out_dir, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out_dir {args.out_dir}: cannot be made ({error})") from None

    failed = 0
    for path in tqdm(args.files, desc="separating", unit="file", disable=None):
        try:
            separate_file(net, path, targets[path])
        except UserError as error:
            if len(args.files) == 1:
                raise
            tqdm.write(f"error: {error}", file=sys.stderr)
            failed += 1
    if failed:
        raise UserError(f"{failed} of {len(args.files)} files were not separated, for the reasons above")


def output_paths(files, out_dir, speakers):
    """Where the estimates of each file go: a dict from file to NAME_s1.wav, NAME_s2.wav ... in `out_dir`.

    Raises UserError if two files would be written to one place, or one over an input.
    """
    targets, owners = {}, {}
    inputs = {os.path.realpath(path) for path in files}
    for path in files:
        name = os.path.splitext(os.path.basename(path))[0]
        targets[path] = [os.path.join(out_dir, f"{name}_s{number}.wav") for number in range(1, speakers + 1)]
        for target in targets[path]:
            place = os.path.realpath(target)
            if place in inputs:
                raise UserError(f"{target}: the estimates of {path} would overwrite this input; take another --out_dir")
            if place in owners:
                raise UserError(
                    f"{path}: would be written to {target}, as {owners[place]} would; give them two --out_dir"
                )
            owners[place] = path
    return targets


def separate_file(net, path, targets):
    """Separate one recording into wav files at `targets`, one a speaker, and print where they are.

    Raises UserError if the recording cannot be read or a file cannot be written.
    """
    sample_rate = audio_info(path).sample_rate
    estimates = separate(net, read_audio(path, sample_rate), sample_rate)
    peak = np.abs(estimates).max()
    subtype = "PCM_16" if peak <= 1 else "FLOAT"
    for target, estimate in zip(targets, estimates, strict=True):
        write_wav(target, estimate, sample_rate, subtype)
    note = "" if peak <= 1 else f" (32-bit float, since their peak of {peak:.2f} would be clipped in 16-bit PCM)"
    tqdm.write(f"{path}: {', '.join(targets)}{note}")


def separate(net, samples, sample_rate):
    """Separate a recording.

    Args:
        net: of `model.load_model`, for C speakers.
        samples: float32 [T].
        sample_rate: of the samples, in Hz; they are resampled to the network's rate and back.

    Returns the estimates, float32 [C, T], at levels that add up to the recording as closely as gains allow. Raises
    UserError if the network gives NaN.
    """
    mixture = resample_poly(samples, net.sample_rate, sample_rate)  # [T at the network's rate]
    estimates = _estimate(net, mixture)  # [C, T at the network's rate]
    estimates = resample_poly(estimates, sample_rate, net.sample_rate, axis=1)[:, : len(samples)]  # [C, T]
    return estimates * mixture_gains(estimates, samples)[:, np.newaxis].astype(np.float32)


def _estimate(net, mixture):
    """The network's estimates [C, T] of one mixture [T], at its own rate."""
    padded = np.zeros((1, padded_length(len(mixture), net.sample_rate)), np.float32)
    padded[0, : len(mixture)] = mixture
    estimates = net(ms.Tensor(padded), ms.Tensor([len(mixture)], ms.int32)).asnumpy()
    if not np.isfinite(estimates).all():
        raise UserError("--model_path: the network gives NaN or infinite samples; take a checkpoint from before that")
    return estimates[0, :, : len(mixture)]


def mixture_gains(estimates, mixture):
    """Gains g [C] that minimise the energy of mixture [T] - sum of g[c] estimates[c] [C, T].

    Where estimates are so alike that the mixture does not tell their gains apart (correlation above about 0.98), or
    silent, they keep the levels that the network gave them to each other.
    """
    estimates, mixture = estimates.astype(np.float64), mixture.astype(np.float64)
    total = estimates.sum(axis=0)
    common = mixture @ total / max(total @ total, np.finfo(np.float64).tiny)
    norms = np.linalg.norm(estimates, axis=1)
    norms[norms == 0] = 1
    directions = estimates / norms[:, np.newaxis]  # [C, T]
    remainder = mixture - common * total
    correction = np.linalg.pinv(directions @ directions.T, rcond=0.01, hermitian=True) @ (directions @ remainder)
    return common + correction / norms


if __name__ == "__main__":
    run(main)
