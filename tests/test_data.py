"""data.py and corpus/file_index.py: which stretches come in which batch, bit for bit, and what a faulty index says."""

import csv
import json
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from common import audio
from common.errors import UserError
from data import describe, load_index, segment_samples, training_batches, utterance_batches
from recordings.pieces import padded_length

RATE = 8000
LENGTHS = [2500, 801, 1600, 333, 4001]


def make_corpus(folder, lengths=LENGTHS, speakers=2, rate=RATE, index_rate=RATE, ending="wav"):
    """Write noise files and their index; returns float32 [1 + C, length] of every utterance, mixture first."""
    random = np.random.default_rng(7)
    corpus = [random.uniform(-0.9, 0.9, (1 + speakers, length)).astype(np.float32) for length in lengths]
    for row, kind in enumerate(["mix", *(f"s{number + 1}" for number in range(speakers))]):
        (folder / kind).mkdir(parents=True)
        table = []
        for number, utterance in enumerate(corpus):
            path = folder / kind / f"u{number}.{ending}"
            soundfile.write(path, utterance[row], rate, subtype="FLOAT" if ending == "wav" else "PCM_16")
            table.append([str(path), -(-utterance.shape[1] * index_rate // rate)])
        (folder / f"{kind}.json").write_text(json.dumps(table))
    return corpus


def arrays(batches):
    return [tuple(column.asnumpy() for column in batch) for batch in batches]


def rows(batches):
    """Every row of all batches: (mixture [T], length, sources [C, T])."""
    return [row for batch in arrays(batches) for row in zip(*batch, strict=True)]


def assert_same(first, second):
    assert len(first) == len(second)
    for batch, other in zip(first, second, strict=True):
        for column, same in zip(batch, other, strict=True):
            np.testing.assert_array_equal(column, same)


def train(index, batch_size=3, segment=0.1, shuffle=1, seed=0, epoch=0, num_workers=1):
    return training_batches(index, batch_size, segment, shuffle, seed, epoch, num_workers)


def test_tiles_are_the_whole_corpus_in_order(tmp_path):
    corpus = make_corpus(tmp_path)
    batches = train(load_index(tmp_path, RATE), shuffle=0)  # tiles of 800 samples
    expected = [(u, start) for u, length in enumerate(LENGTHS) for start in range(0, length, 800)]
    found = rows(batches)
    assert len(found) == len(expected) == 4 + 2 + 2 + 1 + 6
    assert batches.order == [u for u, _ in expected]
    for (mixture, length, sources), (u, start) in zip(found, expected, strict=True):
        stretch = corpus[u][:, start : start + 800]
        assert length == stretch.shape[1]
        np.testing.assert_array_equal(mixture[:length], stretch[0])
        np.testing.assert_array_equal(sources[:, :length], stretch[1:])
        assert not mixture[length:].any() and not sources[:, length:].any()


def test_columns_and_types(tmp_path):
    make_corpus(tmp_path)
    batches = train(load_index(tmp_path, RATE), batch_size=4)
    assert batches.dataset.get_col_names() == ["mixture", "lengths", "sources"]
    found = arrays(batches)
    assert [len(mixture) for mixture, _, _ in found] == [4, 4, 4, 3] and len(batches) == 4  # the last is smaller
    for mixture, lengths, sources in found:
        assert mixture.shape == (len(lengths), 800) and sources.shape == (len(lengths), 2, 800)
        assert (mixture.dtype, lengths.dtype, sources.dtype) == (np.float32, np.int32, np.float32)


def test_random_crops_lie_inside_and_cover_every_start(tmp_path):
    corpus = make_corpus(tmp_path, [803, 1605, 333])
    index = load_index(tmp_path, RATE)
    starts = {0: set(), 1: set()}
    for epoch in range(40):
        batches = train(index, epoch=epoch, batch_size=8)
        assert sorted(batches.order) == [0, 0, 1, 1, 1, 2]  # ceil(length / 800) of each
        for u, (mixture, length, sources) in zip(batches.order, rows(batches), strict=True):
            if u == 2:
                assert length == 333 and not mixture[333:].any() and not sources[:, 333:].any()
                np.testing.assert_array_equal(sources[:, :333], corpus[2][1:])
                continue
            (start,) = np.flatnonzero(corpus[u][0, : len(corpus[u][0]) - 799] == mixture[0])
            assert length == 800
            np.testing.assert_array_equal(np.vstack([mixture, sources]), corpus[u][:, start : start + 800])
            starts[u].add(int(start))
    assert starts[0] == {0, 1, 2, 3}
    assert min(starts[1]) < 100 and max(starts[1]) > 705


def test_crops_follow_seed_and_epoch_alone(tmp_path):
    make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    first = arrays(train(index, num_workers=1))
    assert_same(first, arrays(train(load_index(tmp_path, RATE), num_workers=2)))
    assert_same(first, arrays(train(index, num_workers=50)))  # more than there are cores
    for other in (train(index, epoch=1), train(index, seed=1)):
        assert not np.array_equal(first[0][0], arrays(other)[0][0])


@pytest.mark.parametrize("segment, ranks", [(0.1, 2), (0.1, 5), (-1, 2)])
def test_ranks_share_each_batch(tmp_path, segment, ranks):
    """Together they have the rows of one device with the whole batch; who has none gets a row of length 0."""
    make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    whole = arrays(train(index, batch_size=2 * ranks, segment=segment))
    shares = [
        training_batches(index, 2, segment, 1, seed=0, epoch=0, num_workers=1, share=(rank, ranks))
        for rank in range(ranks)
    ]
    assert all(len(share) == len(whole) and share.rows <= 2 for share in shares)
    for one, parts in zip(whole, zip(*map(arrays, shares), strict=True), strict=True):
        sizes = [np.count_nonzero(lengths) for _, lengths, _ in parts]
        assert max(sizes) - min(sizes) <= 1
        for column, pieces in zip(one, zip(*parts, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate([p[:n] for p, n in zip(pieces, sizes, strict=True)]), column)


def test_ranks_share_the_validation(tmp_path):
    make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    shares = [utterance_batches(index, 1, 1, share=(rank, 2)) for rank in range(2)]
    lengths = [int(length) for share in shares for _, length, _ in rows(share) if length]
    assert sorted(lengths) == sorted(LENGTHS)


@pytest.mark.parametrize("segment", [0.1, -1])
def test_beginning_within_an_epoch(tmp_path, segment):
    make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    whole = train(index, batch_size=2, segment=segment)
    rest = training_batches(index, 2, segment, 1, seed=0, epoch=0, num_workers=1, first=2)
    assert_same(arrays(rest), arrays(whole)[2:])
    assert (rest.order, rest.rows) == (whole.order[-len(rest.order) :], whole.rows)


@pytest.mark.parametrize("shuffle", [0, 1])
def test_whole_utterances_for_training(tmp_path, shuffle):
    lengths = list(range(800, 2300, 100))
    corpus = make_corpus(tmp_path, lengths)
    index = load_index(tmp_path, RATE)
    batches = train(index, segment=-1, batch_size=2, shuffle=shuffle)
    assert sorted(batches.order) == list(range(15))
    for u, (mixture, length, sources) in zip(batches.order, rows(batches), strict=True):
        assert length == lengths[u]
        np.testing.assert_array_equal(np.vstack([mixture, sources])[:, :length], corpus[u])
    heads = [int(lengths.max()) for _, lengths, _ in arrays(batches)]
    assert all(np.ptp(lengths) <= 100 for _, lengths, _ in arrays(batches))  # neighbours
    assert (heads == sorted(heads, reverse=True)) == (shuffle == 0)
    other = train(index, segment=-1, batch_size=2, shuffle=shuffle, epoch=1)
    assert (batches.order == other.order) == (shuffle == 0)


def test_utterances_for_evaluation(tmp_path):
    corpus = make_corpus(tmp_path, speakers=3)
    batches = utterance_batches(load_index(tmp_path, RATE), 2, 2, cv_maxlen=0.4)
    assert batches.order == [0, 2, 1, 3]  # the longest, 4001 samples, is left out
    assert [mixture.shape for mixture, _, _ in arrays(batches)] == [(2, 3200), (2, 1600)]
    for _ in range(2):  # again and again
        for u, (mixture, length, sources) in zip(batches.order, rows(batches), strict=True):
            np.testing.assert_array_equal(np.vstack([mixture, sources])[:, :length], corpus[u])
            assert not mixture[length:].any() and not sources[:, length:].any()
    assert utterance_batches(load_index(tmp_path, RATE), 2, 2).order == [4, 0, 2, 1, 3]


@pytest.mark.parametrize("speakers", [1, 3, 5])
def test_any_number_of_speakers(tmp_path, speakers):
    corpus = make_corpus(tmp_path, [500, 400], speakers)
    index = load_index(tmp_path, RATE)
    assert index.sources == speakers and len(index) == 2 and index.names == ["u0", "u1"]
    ((mixture, lengths, sources),) = arrays(utterance_batches(index, 2, 1))
    assert sources.shape == (2, speakers, 800) and lengths.tolist() == [500, 400]
    np.testing.assert_array_equal(sources[1, :, :400], corpus[1][1:])


def test_other_rates_are_resampled(tmp_path):
    make_corpus(tmp_path, [5001, 3000], rate=16000, ending="flac")
    index = load_index(tmp_path, RATE)
    assert index.lengths.tolist() == [2501, 1500]
    for u, (_, length, sources) in zip([0, 0, 0, 0, 1, 1], rows(train(index, shuffle=0)), strict=True):
        whole = resample_poly(soundfile.read(tmp_path / "s2" / f"u{u}.flac", dtype="float64")[0], 1, 2)
        start = np.argmin(np.abs(whole - sources[1, 0]))
        np.testing.assert_allclose(sources[1, :length], whole[start : start + length], atol=1e-6)


class SilentIndex:
    """Utterances of any lengths, without files."""

    path, speakers, sample_rate = "silence", 2, RATE

    def __init__(self, lengths):
        self.lengths = np.array(lengths)

    def __len__(self):
        return len(self.lengths)

    def read(self, utterance, start, length):
        return np.zeros((1 + self.sources, length), np.float32)


def test_batches_have_nearly_as_many_rows():
    for batches in (
        utterance_batches(SilentIndex([800] * 15), 10, 1),
        train(SilentIndex([800] * 15), 10, segment=-1, shuffle=0),
    ):
        assert [len(mixture) for mixture, _, _ in arrays(batches)] == [8, 7] and batches.rows == 8
    assert train(SilentIndex([800] * 15), 10).rows == 10  # crops: the batches that were asked for
    assert train(SilentIndex([800] * 5), 10).rows == 5


def test_lengths_are_rounded_up_where_it_costs_little():
    def padded(*tenths, batch_size=1):
        index = SilentIndex([800 * length for length in tenths])
        return [mixture.shape[1] // 800 for mixture, _, _ in arrays(utterance_batches(index, batch_size, 1))]

    assert padded(100, 99, 10) == [100, 100, 10]  # 0.5 % padding; with one length it would be 30 %
    assert padded(100, 80, 80, 79) == [100, 80, 80, 80]  # 0.3 %; with one length 15 %
    assert padded(100, 88, 87) == [100, 88, 88]  # 0.4 %; with one length 8.3 %, which is too much
    assert padded(100, 89, 88) == [100, 100, 100]  # 7.7 %
    assert padded(100, 50, 80, 40, batch_size=2) == [100, 50]  # 10 % as it is, so nothing to spare
    index = SilentIndex([799, 801])
    assert [mixture.shape[1] for mixture, _, _ in arrays(utterance_batches(index, 1, 1))] == [1600, 800]


def padding(index, batch_size):
    """The share of an epoch's frames (of 10 samples, silent rows included) that are padding; how many T there are."""
    batches = train(index, batch_size, segment=-1)
    samples = [mixture.shape[1] for mixture, _, _ in arrays(batches)]
    computed = batches.rows * sum(-(-length // 10) for length in samples)
    return 1 - np.ceil(index.lengths / 10).sum() / computed, len(set(samples))


@pytest.mark.parametrize("batch_size", [1, 2, 4, 8, 24])
def test_little_of_an_epoch_is_padding(batch_size):
    """Of mixtures that are about as long as LibriMix's: the shorter of two utterances, most of them near 14 s."""
    lengths = np.random.default_rng(3).triangular(1.5 * RATE, 14 * RATE, 16.5 * RATE, (2, 300)).min(axis=0)
    share, different = padding(SilentIndex(lengths.astype(np.int64)), batch_size)
    assert share < 0.1 and different <= 13


@pytest.mark.parametrize("speakers, utterances", [(2, 200), (3, 100)])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 8, 24])
def test_little_of_an_epoch_of_real_lengths_is_padding(shared, batch_size, speakers, utterances):
    metadata = shared / "speech" / "metadata" / f"Libri{speakers}Mix" / f"libri{speakers}mix_dev-clean.csv"
    with open(metadata, encoding="utf-8") as stream:
        mixtures = [[row[f"source_{n + 1}_path"] for n in range(speakers)] for row in csv.DictReader(stream)]
    samples = {
        file: audio.audio_info(shared / "speech" / "LibriSpeech" / file).frames_at(RATE)
        for file in {file for files in mixtures for file in files}
    }
    index = SilentIndex([min(samples[file] for file in files) for files in mixtures])
    share, different = padding(index, batch_size)
    assert len(index) == utterances and share < 0.1 and different <= 9


def test_padded_lengths_are_few():
    for rate in (8000, 11025, 16000, 44100):
        fixed = sorted({padded_length(samples, rate) for samples in range(1, 30 * rate, 37)})
        assert len(fixed) < 45
        assert all(padded_length(samples, rate) == samples for samples in fixed)
        assert all(abs(samples * 10 / rate - round(samples * 10 / rate)) < 10 / rate for samples in fixed)  # tenths
        long = [samples for samples in fixed if samples > rate]
        assert all(b / a < 1.2 for a, b in pairwise(long))
        assert all(
            0 <= padded_length(samples, rate) - samples < 0.17 * samples + rate / 5 for samples in range(1, 99999, 501)
        )


def test_describe(tmp_path):
    make_corpus(tmp_path, [RATE * 9, RATE * 3, RATE])
    index = load_index(tmp_path, RATE)
    assert describe(index, 4.0) == "3 mixtures of 2 speakers, 0.00 hours, 5 examples of 4 s, 2 shorter"
    assert describe(index) == "3 mixtures of 2 speakers, 0.00 hours"
    assert (
        describe(index, cv_maxlen=3) == "2 mixtures of 2 speakers, 0.00 hours; 1 longer than 3 s left out, 0.00 hours"
    )
    index.lengths = np.array([2, 1, 1]) * 3600 * RATE
    assert describe(index).endswith(", 4.00 hours")
    assert describe(index, cv_maxlen=3600).endswith("s, 2.00 hours; 1 longer than 3600 s left out, 2.00 hours")


def edit(file, change):
    table = json.loads(file.read_text())
    change(table)
    file.write_text(json.dumps(table))


FAULTS = {
    "no folder": (lambda d: [f.unlink() for f in d.glob("*.json")], "mix.json: no such file"),
    "no sources": (lambda d: [(d / f"s{n}.json").unlink() for n in (1, 2)], "s1.json: no such file"),
    "a gap": (lambda d: (d / "s1.json").unlink(), "s1.json: no such file"),
    "cut": (lambda d: (d / "s2.json").write_text((d / "s2.json").read_text()[:-9]), "s2.json: cannot be read as JSON"),
    "binary": (lambda d: (d / "s2.json").write_bytes(b"\xff\xfe\x00"), "s2.json: cannot be read as JSON"),
    "no list": (lambda d: (d / "mix.json").write_text("{}"), "mix.json: not a list"),
    "empty": (lambda d: (d / "mix.json").write_text("[]"), "mix.json: not a list"),
    "text": (lambda d: edit(d / "mix.json", lambda t: t[1].__setitem__(1, "9")), "mix.json: row 1 is"),
    "zero": (lambda d: edit(d / "s1.json", lambda t: t[2].__setitem__(1, 0)), "s1.json: row 2 is"),
    "three": (lambda d: edit(d / "s1.json", lambda t: t[2].append(0)), "s1.json: row 2 is"),
    "fewer": (lambda d: edit(d / "s2.json", lambda t: t.pop()), "s2.json: 4 rows, but mix.json has 5"),
    "order": (lambda d: edit(d / "s2.json", lambda t: t.reverse()), "s2.json: row 0 is"),
    "length": (lambda d: edit(d / "s2.json", lambda t: t[3].__setitem__(1, 5)), "u3.wav has 5 samples, but"),
    "gone": (lambda d: (d / "mix" / "u0.wav").unlink(), "u0.wav: no such file"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_index(tmp_path, fault):
    make_corpus(tmp_path)
    damage, message = FAULTS[fault]
    damage(tmp_path)
    with pytest.raises(UserError) as error:
        load_index(tmp_path, RATE)
    assert message in str(error.value) and str(tmp_path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_index_of_another_rate(tmp_path):
    make_corpus(tmp_path, rate=16000, index_rate=16000)
    with pytest.raises(UserError, match=r"mix.json: .*u0.wav 2500 samples, but it has 1250 .*--sample-rate 8000"):
        load_index(tmp_path, RATE)
    assert load_index(tmp_path, 16000).sample_rate == 16000


def test_no_index_at_all(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder or MindRecord file"):
        load_index(tmp_path / "nowhere", RATE)
    with pytest.raises(UserError, match="--sample_rate 0"):
        load_index(tmp_path, 0)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_unreadable_file_is_one_clear_line(tmp_path, capfd, num_workers):
    corpus = make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    missing = tmp_path / "s2" / "u2.wav"
    missing.unlink()
    batches = train(index, batch_size=1, shuffle=0, num_workers=num_workers)
    found = []
    with pytest.raises(UserError) as error:
        found.extend(batches)
    assert str(error.value) == f"{missing}: no such file"
    assert len(found) <= 6  # utterances 0 and 1 come before it; more workers meet it sooner
    assert capfd.readouterr().err == ""
    soundfile.write(missing, corpus[2][2], RATE, subtype="FLOAT")
    assert len(rows(batches)) == 15


def test_shortened_file_is_one_clear_line(tmp_path):
    make_corpus(tmp_path)
    index = load_index(tmp_path, RATE)
    soundfile.write(tmp_path / "s1" / "u4.wav", np.zeros(3000), RATE)
    with pytest.raises(
        UserError, match=r"u4.wav: has 3000 samples at 8000 Hz, but had 4001 when .*run preprocess.py again"
    ):
        arrays(utterance_batches(index, 1, 2))


def test_files_are_read_when_their_batch_is_asked_for(tmp_path, monkeypatch):
    make_corpus(tmp_path, [4000] * 200)
    read = []
    monkeypatch.setattr(
        "corpus.file_index.read_audio", lambda path, *stretch: read.append(stretch) or audio.read_audio(path, *stretch)
    )
    batches = train(load_index(tmp_path, RATE), batch_size=1)
    assert read == []
    next(iter(batches))
    assert 3 <= len(read) < 600  # of 3000
    assert all(length == 800 for _, _, length, _ in read)


@pytest.mark.parametrize(
    "values, message",
    [
        (dict(batch_size=0), "--batch_size 0"),
        (dict(segment=0), "--segment 0"),
        (dict(segment=-2), "--segment -2"),
        (dict(segment=float("nan")), "--segment nan"),
        (dict(segment=1e-5), "--segment 1e-05"),
        (dict(seed=-1), "--seed -1"),
        (dict(num_workers=0), "--num_workers 0"),
    ],
)
def test_values_that_make_no_sense(tmp_path, values, message):
    make_corpus(tmp_path)
    with pytest.raises(UserError, match=message):
        train(load_index(tmp_path, RATE), **values)


def test_cv_maxlen_that_leaves_nothing(tmp_path):
    make_corpus(tmp_path)
    with pytest.raises(UserError, match=r"--cv_maxlen 0.01: all 5 utterances"):
        utterance_batches(load_index(tmp_path, RATE), 1, 1, cv_maxlen=0.01)
    with pytest.raises(UserError, match="--batch_size 0"):
        utterance_batches(load_index(tmp_path, RATE), 0, 1)


def test_segment_is_rounded_to_samples():
    assert segment_samples(4.0, 8000) == 32000
    assert segment_samples(0.1, 11025) == 1102


def test_real_speech_resampled_from_flac(shared, tmp_path):
    files = sorted((shared / "speech" / "LibriSpeech" / "train-clean-100").glob("*/*/*.flac"))[:2]
    table = json.dumps([[str(file), -(-soundfile.info(file).frames // 2)] for file in files])
    for kind in ("mix", "s1"):  # enhancement of what is clean already
        (tmp_path / f"{kind}.json").write_text(table)
    index = load_index(tmp_path, RATE)
    batches = train(index, segment=1.0, batch_size=4, num_workers=2)
    whole = [resample_poly(soundfile.read(file)[0], 1, 2) for file in files]
    for u, (mixture, length, sources) in zip(batches.order, rows(batches), strict=True):
        assert length == RATE
        np.testing.assert_array_equal(mixture, sources[0])
        windows = np.lib.stride_tricks.sliding_window_view(whole[u], RATE)
        start = np.argmin(np.abs(windows[:, ::2000] - mixture[::2000]).sum(axis=1))
        np.testing.assert_allclose(mixture, windows[start], atol=1e-6)
