"""training/validation.py: what fills a batch up."""

import mindspore as ms
import numpy as np

from training.validation import fill_up


def test_a_smaller_batch_is_filled_up_with_silence():
    batch = tuple(ms.Tensor(np.ones(shape, np.float32)) for shape in ((1, 5), (1,), (1, 2, 5)))
    mixture, lengths, sources = fill_up(batch, 3)
    assert (mixture.shape, lengths.shape, sources.shape) == ((3, 5), (3,), (3, 2, 5))
    np.testing.assert_array_equal(lengths.asnumpy(), [1, 0, 0])
    assert mixture.asnumpy()[1:].sum() == 0
