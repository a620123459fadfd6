"""What every other package stands on, and that knows of none of them.

audio         stretches of audio files, checked before they are believed; resampling as LibriMix does it; writing wav
command_line  reads the options that config.py describes
errors        a user's mistake is one clear line and a non-zero exit
estimates     the order and the levels of separated signals, all finite
files         folders, checksums, and files that are written whole or not at all
numbers       division that rounds up
parallel      work for all cores in processes, and for many files in threads
signals       Ctrl-C and kill end a script at once, in one line and with nothing left
wording       durations, counts, names and tables as a person reads them
"""
