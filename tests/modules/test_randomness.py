"""Draws that belong to an utterance."""

import torch

from speecht5_fairseq.modules.randomness import fresh_seeds, utterance_generators, utterance_uniform

CPU = torch.device("cpu")


def test_numbers_do_not_depend_on_the_batch():
    seeds, lengths = torch.tensor([3, 4, 5]), torch.tensor([6, 2, 4])
    batch = utterance_uniform(seeds, lengths, (6, 2), stream="x")
    for row, length in enumerate(lengths.tolist()):
        alone = utterance_uniform(seeds[row : row + 1], lengths[row : row + 1], (length, 2), stream="x")
        assert torch.equal(batch[row, :length], alone[0])
        assert (batch[row, length:] == 0).all()


def test_purposes_and_seeds_have_numbers_of_their_own():
    lengths = torch.tensor([100])
    draws = [
        utterance_uniform(torch.tensor([seed]), lengths, (100,), stream=stream)
        for seed in (1, 2)
        for stream in ("x", "y")
    ]
    for i, one in enumerate(draws):
        for other in draws[i + 1 :]:
            assert abs(torch.corrcoef(torch.stack([one[0], other[0]]))[0, 1]) < 0.35


def test_the_largest_seed_is_taken():
    largest = torch.tensor([2**63 - 1])
    assert len(utterance_generators(largest, CPU, stream="x")) == 1


def test_fresh_seeds_come_from_the_global_generator():
    torch.manual_seed(5)
    first = fresh_seeds(4, CPU)
    assert len(set(first.tolist())) == 4 and not torch.equal(first, fresh_seeds(4, CPU))
    torch.manual_seed(5)
    assert torch.equal(first, fresh_seeds(4, CPU))
