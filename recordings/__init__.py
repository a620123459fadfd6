"""Recordings of any length, rate and format, and what separate.py makes of them.

inputs     the recordings that are asked for, and the files that are written for each
picture    waveforms and spectrograms of a recording and its estimates
pieces     long recordings in flat memory: separated in pieces, and joined
streaming  a causal network on a live stream, in numpy
"""
