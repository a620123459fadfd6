"""Separate recordings of any length into their speakers.

    python separate.py --model_path exp/best.ckpt meeting.wav calls/ 'interviews/*.flac' --out_dir separated
    python separate.py --model_path exp/best.ckpt - < meeting.wav > speakers.wav
    python separate.py --streaming - < microphone > speakers

writes separated/meeting_s1.wav, separated/meeting_s2.wav ..., each at the rate and exactly of the length of its
recording; on standard output, one wav with a channel a speaker. The network hears what its own sample rate can carry:
nothing above half of that rate is in its output. With --plot there is a picture too, separated/meeting.png.

What is longer than 16 s is separated in pieces (recordings/pieces.py), so that memory does not grow with the length. A
network trained for SI-SNR leaves the levels of its estimates open. Here each gets the gain, in every piece, with which
all of them together come closest to the recording; a gain leaves an estimate's SI-SNR as it is. Files are as fine as
the recording, 16 or 24 bits or floats, and floats if a sample would be clipped otherwise.

With --streaming a causal network separates standard input as it comes, one hop behind (recordings/streaming.py): at the
levels that the network gives, as floats.
"""

import os
import sys
import tempfile
from contextlib import redirect_stdout

from device import set_device

import numpy as np
from scipy.signal import resample_poly
from tqdm import tqdm

from common.command_line import parse, require_positive
from common.errors import UserError, run
from config import SEPARATION
from model import load_model
from network.checkpoint import path_or_shipped
from recordings.inputs import (
    STANDARD_STREAM,
    WaitingFile,
    WavStream,
    describe,
    find_files,
    from_standard_input,
    open_standard_input,
    opened,
    output_paths,
    write_estimates,
)
from recordings.pieces import joined_estimates, piece_length
from recordings.streaming import Streamer

BAR = "{l_bar}{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}]"


def main(argv=None):
    args = parse(__doc__, "model_file", "separation", "device", argv=argv)
    check(args)
    channel = "mix" if args.channel == "mix" else int(args.channel)
    if args.files == [STANDARD_STREAM]:
        with redirect_stdout(sys.stderr):  # what is said; the estimates go to the stream itself
            net = prepare(args)
            if args.streaming:
                separate_stream(net, args.chunk)
            else:
                separate_standard_input(net, channel, args.encoding)
        return
    files = find_files(args.files)
    net = prepare(args)
    outputs = output_paths(files, args.out_dir, net.options.C, args.overwrite, args.plot)
    separate_files(net, outputs, channel, args.encoding)


def check(args):
    """Raise UserError for options that make no sense together, before anything is read."""
    if args.channel != "mix" and not (args.channel.isdecimal() and int(args.channel) > 0):
        raise UserError(f"--channel {args.channel}: must be the number of a channel, from 1, or mix for their mean")
    if STANDARD_STREAM in args.files or args.streaming:
        if args.files != [STANDARD_STREAM]:
            raise UserError("-, --streaming: standard input is separated alone; give - and no other file")
        if args.out_dir or args.overwrite or args.plot:
            raise UserError("--out_dir, --overwrite, --plot: are for files; - goes to standard output, leave them out")
    elif not args.out_dir:
        raise UserError("--out_dir: is missing; name a folder for the estimates")
    if args.streaming and (args.encoding or args.channel != "mix"):
        raise UserError("--encoding, --channel: --streaming takes one channel and gives floats; leave them out")
    if not args.streaming and args.chunk != SEPARATION["chunk"]["default"]:
        raise UserError(f"--chunk {args.chunk:g}: only --streaming uses it; add that, or leave it out")
    require_positive(args, "chunk")


def prepare(args):
    set_device(args.device_target, args.device_id)
    return load_model(path_or_shipped(args.model_path, causal=args.streaming))


def separate_standard_input(net, channel, encoding):
    """Separate the wav on standard input into one on standard output."""
    with tempfile.TemporaryDirectory() as folder:
        separate_recordings(net, [from_standard_input(folder)], channel, encoding)


def separate_files(net, outputs, channel, encoding):
    """Separate files into `outputs`, of `recordings.output_paths`, and print where the estimates are.

    Files that cannot be separated are said so, and the others are separated; then the end is a UserError.
    """
    found, failed = [], 0
    for path, (targets, picture) in outputs.items():
        try:
            found.append(describe(path, targets, picture, channel))
        except UserError as error:
            if len(outputs) == 1:
                raise
            print(f"error: {error}", file=sys.stderr)
            failed += 1
    failed += separate_recordings(net, found, channel, encoding)
    if failed:
        raise UserError(f"{failed} of {len(outputs)} files were not separated, for the reasons above")


def separate_recordings(net, found, channel, encoding):
    """Separate recordings, and print where the estimates are; raises UserError if there is only one.

    Returns how many could not be separated.
    """
    if not found:
        return 0
    tell_what_is_changed(net, found, channel)
    piece = piece_length(max(each.frames_at(net.sample_rate) for each in found), net.sample_rate)
    failed = 0
    seconds = sum(each.frames / each.sample_rate for each in found)
    with tqdm(total=seconds, desc="separating", bar_format=BAR, disable=None) as progress:
        for recording in found:
            try:
                tqdm.write(separate_recording(net, recording, channel, encoding, piece, progress))
            except UserError as error:
                if len(found) == 1:
                    raise
                tqdm.write(f"error: {error}", file=sys.stderr)
                failed += 1
    return failed


def tell_what_is_changed(net, found, channel):
    """Print, once for all recordings, that they are resampled, and that channels are mixed."""
    rates = sorted({each.sample_rate for each in found} - {net.sample_rate})
    if rates:
        print(f"resampled from {', '.join(map(str, rates))} Hz to the network's {net.sample_rate} Hz, and back")
    if channel == "mix" and any(each.channels > 1 for each in found):
        print("channels are mixed to one, their mean; --channel 1 takes the first")


def separate_recording(net, recording, channel, encoding, piece, progress):
    """Separate one recording in pieces of this length, and write its estimates and their picture, if it has one.

    Returns a line that says where they are. Raises UserError if it cannot be read, or they cannot be written.
    """
    samples = recording.frames_at(net.sample_rate)
    with (
        opened(recording, net.sample_rate, channel) as read,
        WaitingFile(recording, net.sample_rate, net.options.C) as waiting,
    ):
        for estimates in joined_estimates(net, read, samples, piece):
            waiting.append(estimates)
            progress.update(estimates.shape[1] / net.sample_rate)
        subtype, peak = write_estimates(recording, waiting.stretches, encoding)
        if recording.picture:
            from recordings.picture import draw_picture  # matplotlib, for this alone

            def read_all(start, length):
                return np.vstack([read(start, length), waiting.read(start, length, net.sample_rate)])

            draw_picture(recording.picture, os.path.basename(recording.path), read_all, samples, net.sample_rate)
    return told(recording, subtype, peak)


def told(recording, subtype, peak):
    """The line that says where the estimates are."""
    where = ", ".join(filter(None, [*recording.targets, recording.picture])) or "standard output"
    note = f" (32-bit float: their peak of {peak:.2f} would be clipped in integers)" if peak > 1 else ""
    return f"{recording.name}: {where}{note}"


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
