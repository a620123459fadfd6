"""Separates files, standard input or a stream, whatever they are, and prints where the estimates are."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from device import Network

import numpy as np
from tqdm import tqdm

from common.audio import decode_open
from common.audio_file import AudioFile
from common.errors import UserError
from common.wording import count_of, printable
from network.in_numpy import NumpyNetwork
from recordings.activity import speech_segments
from recordings.inputs import Recording, recording_from_file, recording_from_standard_input, stretch_reader
from recordings.live_input import LiveInput
from recordings.output_paths import Outputs, unwritable
from recordings.outputs import WaitingFile, WavStream, write_estimates, write_segments
from recordings.pieces import PieceFile, piece_length, separate_in_pieces
from recordings.same_voice import Voices, same_voices
from recordings.streaming import Streamer

BAR = "{l_bar}{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}]"


def separate_standard_input(
    net: Network,
    channel: int | str,
    encoding: str | None,
    speakers: int | str = "all",
    segments: Sequence[str] = (),
) -> None:
    """Separate standard input into a wav on standard output.

    Who speaks when goes to `segments`, the paths of an RTTM and a JSON file or none; the other arguments are those of
    `separate_files`.
    """
    with ExitStack() as copies:
        recording = recording_from_standard_input(channel, copies, segments)
        separate_recordings(net, [recording], channel, encoding, speakers)


def separate_files(
    net: Network,
    outputs: Outputs,
    channel: int | str,
    encoding: str | None,
    skip_existing: bool = False,
    speakers: int | str = "all",
) -> None:
    """Separate files, and print where their estimates are.

    Args:
        net: from `device.load_to_separate`.
        outputs: where what is made of each file goes, from `output_paths.output_paths`.
        channel: which one is separated, a number from 1, or "mix" for the mean of all.
        encoding: a key of `outputs.ENCODINGS`, or None for what the recording has.
        skip_existing: leave out recordings of which all is there already, as an earlier call that was stopped leaves
            them: an estimate has its name once it is whole. Prints how many they are.
        speakers: how many voices are kept, from 1 to C; "auto" to find out for each (see `same_voice`); or "all".

    A file that cannot be separated is named in an error of one line, and the others are separated. Raises UserError if
    there was any.
    """
    found, failed, done, refused = [], 0, 0, unwritable(outputs)
    with ExitStack() as copies:
        for path, (targets, picture, segments) in outputs.items():
            try:
                if path in refused:
                    raise UserError(refused[path])
                if skip_existing and all(map(os.path.isfile, filter(None, [*targets, picture, *segments]))):
                    done += 1
                    continue
                found.append(recording_from_file(path, targets, picture, channel, copies, segments=segments))
            except UserError as error:
                if len(outputs) == 1:
                    raise
                print(f"error: {error}", file=sys.stderr)
                failed += 1
        if done:
            print(f"{count_of(done, 'recording')}: left out, since the estimates are there")
        failed += separate_recordings(net, found, channel, encoding, speakers)
    if failed:
        raise UserError(f"{failed} of {len(outputs)} files were not separated, for the reasons above")


def separate_recordings(
    net: Network, found: list[Recording], channel: int | str, encoding: str | None, speakers: int | str
) -> int:
    """Separate recordings, and print where the estimates are.

    Returns how many could not be separated; raises UserError instead if there is only one.
    """
    if not found:
        return 0
    print_changes(net, found, channel)
    piece = piece_length(max(each.frames_at(net.sample_rate) for each in found), net.sample_rate)
    failed = 0
    seconds = sum(each.frames / each.sample_rate for each in found)
    with tqdm(total=seconds, desc="separating", bar_format=BAR, disable=None) as progress:
        for recording in found:
            try:
                text = separate_recording(net, recording, channel, encoding, piece, progress, speakers)
                tqdm.write(printable(text))
            except UserError as error:
                if len(found) == 1:
                    raise
                tqdm.write(f"error: {error}", file=sys.stderr)
                failed += 1
    return failed


def print_changes(net: Network, found: Iterable[Recording], channel: int | str) -> None:
    """Print, once for all recordings, that they are resampled, and that channels are mixed."""
    rates = sorted({each.sample_rate for each in found} - {net.sample_rate})
    if rates:
        print(f"resampled from {', '.join(map(str, rates))} Hz to the network's {net.sample_rate} Hz, and back")
    if channel == "mix" and any(each.channels > 1 for each in found):
        print("channels are mixed to one, their mean; --channel 1 takes the first")


def separate_recording(
    net: Network,
    recording: Recording,
    channel: int | str,
    encoding: str | None,
    piece: int,
    progress: tqdm,
    speakers: int | str = "all",
) -> str:
    """Separate one recording in pieces of this length, and write its estimates and their picture, if it has one.

    Returns a line that says where they are. Raises UserError if it cannot be read, or they cannot be written.
    """
    samples = recording.frames_at(net.sample_rate)
    with (
        stretch_reader(recording, net.sample_rate, channel) as read,
        WaitingFile(recording, net.sample_rate, net.options.C) as waiting,
    ):
        with PieceFile(waiting.folder) as kept:
            pieces = separate_in_pieces(
                net, read, samples, piece, kept, lambda more: progress.update(more / net.sample_rate)
            )
            for estimates in pieces:
                waiting.append(estimates)

        def read_all(start: int, length: int) -> np.ndarray:
            return np.vstack([read(start, length), waiting.read(start, length, net.sample_rate)])

        def read_written(start: int, length: int) -> np.ndarray:
            signals = read_all(start, length)
            return np.vstack([signals[:1], voices.written(signals[1:], signals[0])])

        wanted = {"all": net.options.C, "auto": None}.get(speakers, speakers)
        voices = same_voices(read_all, samples, net.sample_rate, net.options.C, wanted)
        stretches = partial(written_stretches, recording, waiting, voices, channel)
        subtype, peak = write_estimates(recording, stretches, encoding)
        if recording.segments:
            write_segments(recording, speech_segments(read_written, samples, net.sample_rate))
        if recording.picture:
            from recordings.picture import draw_picture  # matplotlib, for this alone

            draw_picture(recording.picture, os.path.basename(recording.name), read_written, samples, net.sample_rate)
    return where_written(recording, subtype, peak, voices, net.options.C)


def written_stretches(
    recording: Recording, waiting: WaitingFile, voices: Voices, channel: int | str
) -> Iterator[np.ndarray]:
    """What is written of the estimates that wait, stretch by stretch at the recording's rate: [C, n]."""
    if not voices.whole:  # and the recording need not be read again
        for estimates in waiting.stretches():
            yield voices.written(estimates, estimates[0])
        return
    start = 0
    with AudioFile(recording.path, recording.name) as file:
        for estimates in waiting.stretches():
            stop = start + estimates.shape[1]
            yield voices.written(estimates, decode_open(file, start, stop, channel))
            start = stop


def where_written(recording: Recording, subtype: str, peak: float, voices: Voices, speakers: int) -> str:
    """The line that says where the estimates are, and how many voices were kept of so many speakers."""
    estimates = recording.targets or ["standard output"]
    where = ", ".join(filter(None, [*estimates, recording.picture, *recording.segments]))
    note = f" (32-bit float: their peak of {peak:.2f} would be clipped in integers)" if peak > 1 else ""
    if (count := len(voices.groups)) < speakers:
        first = f"{count_of(count, 'voice')}{': the first is the recording itself' if voices.whole else ''}"
        note += f" ({first}, and what is left is silent)"
    return f"{recording.name}: {where}{note}"


def separate_stream(net: NumpyNetwork, chunk: float) -> None:
    """Separate standard input as it comes, `chunk` milliseconds at a time, onto standard output.

    Raises UserError if it is not wav of one channel at the network's rate, or has NaN or infinite samples.
    """
    with LiveInput() as source:
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
        if not estimates.bytes:
            raise UserError("standard input: empty, it has no samples")
        estimates.close()
