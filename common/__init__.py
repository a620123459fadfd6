"""What every other package stands on, and that knows of none of them.

ascend        what is asked of MindSpore on an Ascend card, and what a card cannot do
audio         stretches of audio files, checked before they are believed; resampling as LibriMix does it; writing wav
audio_file    audio files that are read whole, whatever their headers say of their length
audio_stream  one stream of an audio file, sought or read in sequence
command_line  reads the options that config.py describes
errors        a user's mistake is one clear line and a non-zero exit
estimates     the order and the levels of separated signals, all finite
files         folders, checksums, and files that are written whole or not at all
flac          the streams of a FLAC file, one after another
media         sound that libsndfile does not read, of telephones and of video files
mpeg          the frames of an mp3 file, counted
numbers       division that rounds up; which rates can be
ogg           the streams of an Ogg file, one after another
parallel      work for all cores in processes, and for many files in threads
processor     what Linux says of this machine's processor
riff          the headers of wav files that were never completed
sequences     the first name that is there twice
signals       Ctrl-C and kill end a script at once, in one line and with nothing left
spliced       bytes and stretches of a file, as one file or through a pipe
wording       durations, counts, names and tables as a person reads them
"""
