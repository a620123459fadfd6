"""Recordings of any length, rate and format, and what separate.py makes of them.

activity      who speaks when, from the levels of the estimates
inputs        the recordings that are asked for: files, folders, patterns, standard input
live_input    standard input as it comes
offset        a live stream without its microphone's offset
output_paths  where the files go that are made of each recording
outputs       the files that are written for a recording, all or none, or a stream
picture       waveforms and spectrograms of a recording and its estimates
pieces        long recordings in flat memory: separated in pieces, and joined
resampling    recordings at other rates than the network's, there and back
same_voice    one voice or two: which estimates are of the same voice
separation    separates files, standard input or a stream, and prints where the estimates are
streaming     a causal network on a live stream, in numpy
voices        who is who in the pieces of a recording, decided over all of them together
"""
