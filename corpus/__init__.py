"""Mixtures and where they come from: LibriMix's tree, LibriSpeech with LibriMix's metadata, MindRecord files.

bad_files       what becomes of files that cannot be used
checksums       checksums of MindRecord files, which have none of their own
dynamic_mixing  mixtures drawn anew in each epoch
file_index      the folder of mix.json, s1.json ...: mixtures and sources that are files
folders         finds the sets of a corpus on disk, and which files belong together
generate        writes the LibriMix tree
index           what every index answers, and how mixtures are cut into examples
loading         opens an index, whichever of its kinds a path leads to
metadata        LibriMix's tables: which files, with which gains, make which mixture
mindrecord      MindRecord files in place of an index and its audio
mixture_checks  holds what mixtures.json says to what can be
mixture_index   the folder of mixtures.json: mixtures that are computed while they are read
mixtures        LibriMix's arithmetic, of whole mixtures and of stretches
names           who speaks in a mixture, by its name; whether MindRecord takes a path
speakers        of which sex they are
sums            holds the mixtures of a tree to the sums of their sources
"""
