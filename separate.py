"""Separate recordings into their speakers.

    python separate.py --model_path exp/best.ckpt meeting.wav call.flac --out_dir separated
    python separate.py --model_path exp/causal.ckpt --streaming - < microphone > speakers

writes separated/meeting_s1.wav, separated/meeting_s2.wav, separated/call_s1.wav ..., each at the rate and exactly of
the length of its recording. The network hears what its own sample rate can carry: nothing above half of that rate is
in its output.

What is longer than 16 s is separated in pieces (pieces.py). A network trained for SI-SNR leaves the levels of its
estimates open. Here each gets the gain, in every piece, with which all of them together come closest to the recording;
a gain leaves an estimate's SI-SNR as it is. Files are 16-bit PCM, or 32-bit float if a sample would be clipped in that.

With --streaming a causal network separates the wav on standard input as it comes, one hop behind (streaming.py), into
one wav on standard output with a channel a speaker, as floats, at the levels that the network gives.
"""

import os
import sys
from contextlib import redirect_stdout

from device import set_device

import numpy as np
from scipy.signal import resample_poly
from tqdm import tqdm

from audio import audio_info, read_audio, write_wav
from config import SEPARATION, parse, require_positive
from errors import UserError, run
from model import load_model
from pieces import joined_estimates, piece_length
from recordings import WavStream, open_standard_input
from streaming import Streamer


def main(argv=None):
    args = parse(__doc__, "model_file", "separation", "device", argv=argv)
    check(args)
    if args.streaming:
        with redirect_stdout(sys.stderr):  # what is said; the estimates go to the stream itself
            set_device(args.device_target, args.device_id)
            separate_stream(load_model(args.model_path), args.chunk)
        return
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


def check(args):
    """Raise UserError for options that do not go together."""
    require_positive(args, "chunk")
    if args.streaming and (args.files != ["-"] or args.out_dir):
        raise UserError("--streaming: separates standard input onto standard output; give - alone, and no --out_dir")
    if not args.streaming and "-" in args.files:
        raise UserError("-: standard input is separated with --streaming; add that, or name a file")
    if not args.streaming and not args.out_dir:
        raise UserError("--out_dir: is missing; name a folder for the estimates")
    if not args.streaming and args.chunk != SEPARATION["chunk"]["default"]:
        raise UserError(f"--chunk {args.chunk:g}: only --streaming uses it; add that, or leave it out")


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
    """Separate a recording that is in memory.

    Args:
        net: of `model.load_model`, for C speakers.
        samples: of one channel, float32 [T].
        sample_rate: of the samples, in Hz; they are resampled to the network's rate and back.

    Returns the estimates, float32 [C, T], at levels that add up to the recording as closely as gains allow. What is
    longer than 16 s is separated in pieces and joined, as `pieces.joined_estimates` says. Raises UserError if samples
    are not one channel, are none or not finite, or if the network gives NaN.
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1 or not len(samples):
        raise UserError(f"samples of shape {samples.shape}: must be [T], one channel of at least a sample")
    if not np.isfinite(samples).all():
        raise UserError("samples: have NaN or infinite values; repair them first")
    mixture = resample_poly(samples, net.sample_rate, sample_rate)  # [T at the network's rate]
    piece = piece_length(len(mixture), net.sample_rate)
    stretches = joined_estimates(net, lambda start, length: mixture[start : start + length], len(mixture), piece)
    estimates = np.concatenate(list(stretches), axis=1)  # [C, T at the network's rate]
    return resample_poly(estimates, sample_rate, net.sample_rate, axis=1)[:, : len(samples)]


def separate_stream(net, chunk):
    """Separate standard input as it comes, so many milliseconds at a time, onto standard output."""
    with open_standard_input() as source:
        if source.samplerate != net.sample_rate or source.channels != 1:
            raise UserError(
                f"standard input: {source.channels} channels at {source.samplerate} Hz, but --streaming takes one at"
                f" {net.sample_rate} Hz, the network's; convert it on the way in"
            )
        streamer = Streamer(net)
        print(f"the estimates come {streamer.delay_ms:g} ms after the mixture")
        estimates = WavStream(net.sample_rate, net.options.C)
        while len(samples := source.read(max(1, round(chunk * net.sample_rate / 1000)), dtype="float32")):
            if not np.isfinite(samples).all():
                raise UserError("standard input: has NaN or infinite samples; repair what makes them")
            estimates.write(streamer.push(samples))
        estimates.write(streamer.finish())
        estimates.close()


if __name__ == "__main__":
    run(main)
