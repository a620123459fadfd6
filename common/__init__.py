"""What every other package stands on, and that knows nothing of any of them.

audio     stretches of audio files, checked before they are believed; resampling as LibriMix does it; writing wav
errors    a user's mistake is one clear line and a non-zero exit
files     folders, checksums, and files that are written whole or not at all
parallel  work for all cores, in other processes
"""
