"""Separate recordings of any length into their speakers.

    python separate.py --model_path exp/best.ckpt meeting.wav calls/ 'interviews/*.flac' --out_dir separated
    python separate.py --model_path exp/best.ckpt - < meeting.wav > speakers.wav
    python separate.py --streaming - < microphone > speakers

writes separated/meeting_s1.wav, separated/meeting_s2.wav ..., each at the rate and exactly of the length of its
recording; on standard output, one wav with a channel a speaker. The network hears what its own sample rate can carry:
nothing above half of that rate is in its output. With --speakers auto the first file is the recording itself where only
one person speaks, and the others are silent. With --plot there is a picture too, separated/meeting.png;
with --segments there are separated/meeting.rttm and separated/meeting.json, which say who speaks when.

What is longer than 16 s is separated in pieces (recordings/pieces.py), so that memory does not grow with the length. A
network trained for SI-SNR leaves the levels of its estimates open. Here each gets the gain, in every piece, with which
all of them together come closest to the recording; a gain leaves an estimate's SI-SNR as it is. Files are as fine as
the recording, 16 or 24 bits or floats, and floats if a sample would be clipped otherwise.

With --streaming a causal network separates standard input as it comes, one hop behind (recordings/streaming.py): at the
levels that the network gives, as floats.
"""

from common.signals import end_at_signals

if __name__ == "__main__":
    end_at_signals()  # what follows takes seconds

import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stdout

from device import Network, load_to_separate

import numpy as np

from common.audio import AudioInfo
from common.command_line import parse, require_positive
from common.errors import UserError, run
from config import SEPARATION
from network.checkpoint import path_or_shipped
from network.in_numpy import load_in_numpy
from network.options import check_precision
from recordings.inputs import STANDARD_STREAM, find_files
from recordings.output_paths import output_paths, segment_paths
from recordings.pieces import piece_length, separate_in_pieces
from recordings.resampling import at_rate
from recordings.separation import separate_files, separate_standard_input, separate_stream


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(__doc__, "model_file", "separation", "device", "precision", argv=argv)
    check_options(args)
    channel = "mix" if args.channel == "mix" else int(args.channel)
    if args.files == [STANDARD_STREAM]:
        with redirect_stdout(sys.stderr):  # what is printed; the estimates go to standard output's bytes themselves
            net = load_network(args)
            if args.streaming:
                separate_stream(net, args.chunk)
            else:
                segments = segment_paths(args.out_dir, "standard_input") if args.segments else []
                separate_standard_input(net, channel, args.encoding, wanted_speakers(args, net), segments)
        return
    files = find_files(args.files)
    net = load_network(args)
    replaces = args.overwrite or args.skip_existing
    outputs = output_paths(files, args.out_dir, net.options.C, replaces, args.plot, args.segments)
    separate_files(net, outputs, channel, args.encoding, args.skip_existing, wanted_speakers(args, net))


def check_options(args: Namespace) -> None:
    """Raise UserError for options that make no sense together, before anything is read."""
    if args.channel != "mix" and not (args.channel.isdecimal() and int(args.channel) > 0):
        raise UserError(f"--channel {args.channel}: must be the number of a channel, from 1, or mix for their mean")
    if STANDARD_STREAM in args.files or args.streaming:
        if args.files != [STANDARD_STREAM]:
            raise UserError("-, --streaming: standard input is separated alone; give - and no other file")
        if args.overwrite or args.skip_existing or args.plot or (args.out_dir and not args.segments):
            options = "--out_dir, --overwrite, --skip_existing, --plot"
            raise UserError(f"{options}: are for files; - goes to standard output, leave them out")
        if args.streaming and args.segments:
            raise UserError("--segments: needs the whole recording, and --streaming has none; leave one of them out")
        if args.segments and not args.out_dir:
            raise UserError("--segments: name a folder for standard_input.rttm and standard_input.json with --out_dir")
    elif not args.out_dir:
        raise UserError("--out_dir: is missing; name a folder for the estimates")
    if args.speakers not in ("all", "auto") and not (args.speakers.isdecimal() and int(args.speakers) > 0):
        raise UserError(f"--speakers {args.speakers}: must be a number of voices, from 1, auto to find it out, or all")
    if args.streaming and args.speakers != "all":
        raise UserError(f"--speakers {args.speakers}: a stream keeps all that the network gives; leave it out")
    if args.overwrite and args.skip_existing:
        raise UserError("--overwrite, --skip_existing: either replace what is there or leave it; take one of them")
    if args.streaming and (args.encoding or args.channel != "mix"):
        raise UserError("--encoding, --channel: --streaming takes one channel and gives floats; leave them out")
    if not args.streaming and args.chunk != SEPARATION["chunk"]["default"]:
        raise UserError(f"--chunk {args.chunk:g}: only --streaming uses it; add that, or leave it out")
    require_positive(args, "chunk")
    check_precision(args.amp_level, args.amp_type)
    if args.streaming and args.amp_level != "O0":
        raise UserError(f"--amp_level {args.amp_level}: plain numpy separates a stream, all in float32; leave it out")


def wanted_speakers(args: Namespace, net: Network) -> int | str:
    """How many voices are kept: a number, "auto" or "all". Raises UserError if the network does not give so many."""
    if args.speakers in ("all", "auto"):
        return args.speakers
    if int(args.speakers) > net.options.C:
        raise UserError(
            f"--speakers {args.speakers}: the network is for {net.options.C}; take fewer, or another network"
        )
    return int(args.speakers)


def load_network(args: Namespace) -> Network:
    """The network that separates; for a stream always plain numpy."""
    path = path_or_shipped(args.model_path, causal=args.streaming)
    if args.streaming:
        return load_in_numpy(path)
    device, precision = (args.device_target, args.device_id), (args.amp_level, args.amp_type)
    return load_to_separate(path, *device, *precision, args.jit_level, args.hf32)[0]


def separate(net: Network, samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Separate a recording that is in memory.

    Args:
        net: from `in_numpy.load_in_numpy` or `model.load_model`, for C speakers.
        samples: one channel, float32 [T].
        sample_rate: of the samples, in Hz; they are resampled to the network's rate and back.

    Returns the estimates, float32 [C, T], at levels that add up to the recording as closely as gains allow. What is
    longer than 16 s is separated in pieces and joined, as `pieces.separate_in_pieces` says. Raises UserError if samples
    are not one channel, are none or not finite, or if the network gives NaN.
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1 or not len(samples):
        raise UserError(f"samples of shape {samples.shape}: must be [T], one channel of at least a sample")
    if not np.isfinite(samples).all():
        raise UserError("samples: have NaN or infinite values; repair them first")
    info = AudioInfo(len(samples), sample_rate)
    length = info.frames_at(net.sample_rate)
    read = at_rate(net.sample_rate, lambda first, stop: samples[first:stop], info)
    stretches = separate_in_pieces(net, read, length, piece_length(length, net.sample_rate), [])
    estimates = np.concatenate([stretch.T for stretch in stretches])  # [T at the network's rate, C]
    read = at_rate(sample_rate, lambda first, stop: estimates[first:stop], AudioInfo(length, net.sample_rate))
    return np.ascontiguousarray(read(0, len(samples)).T)


if __name__ == "__main__":
    run(main)
