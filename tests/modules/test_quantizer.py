"""The cross-modal quantizer."""

import math

import pytest
import torch

from speecht5_fairseq.modules.quantizer import SPLIT, Quantizer, perplexity, spread

DIM, GROUPS, ENTRIES = 12, 2, 5
LENGTHS, SEEDS = torch.tensor([40, 25]), torch.tensor([11, 12])


def build(mix_probability=0.3, **options):
    torch.manual_seed(0)
    defaults = {"start_temperature": 2.0, "end_temperature": 0.5, "decay": 0.999995}
    return Quantizer(
        dim=DIM, groups=GROUPS, entries=ENTRIES, mix_probability=mix_probability, **{**defaults, **options}
    )


def states():
    return torch.randn(2, 40, DIM, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [True, False])
def test_a_replaced_frame_is_one_entry_of_each_group(training):
    quantizer, inputs = build(mix_probability=1.0).train(training), states()
    mixed = quantizer(inputs, LENGTHS, SEEDS).mixed.detach()
    book = quantizer.codebook.detach()
    for row, length in enumerate(LENGTHS):
        for frame in mixed[row, :length].view(-1, GROUPS, DIM // GROUPS):
            for group in range(GROUPS):
                assert (book[group] - frame[group]).abs().amax(-1).min() < 1e-6
    assert torch.equal(mixed[1, 25:], inputs[1, 25:])  # padding is left


def test_evaluation_takes_the_most_probable_code():
    quantizer, inputs = build(mix_probability=1.0).eval(), states()
    best = quantizer.projection(inputs).unflatten(-1, (GROUPS, ENTRIES)).argmax(-1)
    expected = torch.cat([quantizer.codebook[group, best[..., group]] for group in range(GROUPS)], dim=-1)
    output = quantizer(inputs, LENGTHS, SEEDS)
    torch.testing.assert_close(output.mixed[0], expected[0])
    counts = torch.stack([torch.bincount(best[0, :, g], minlength=ENTRIES) for g in range(GROUPS)])
    counts += torch.stack([torch.bincount(best[1, :25, g], minlength=ENTRIES) for g in range(GROUPS)])
    assert torch.equal(output.code_counts, counts)


def test_codes_and_their_vectors_are_those_of_evaluation():
    quantizer, inputs = build(mix_probability=1.0).eval(), states()
    codes = quantizer.codes(inputs)
    assert codes.shape == (2, 40, GROUPS) and codes.dtype == torch.int64
    output = quantizer(inputs, LENGTHS, SEEDS)
    torch.testing.assert_close(output.mixed[0], quantizer.vectors(codes)[0])
    torch.testing.assert_close(output.mixed[1, :25], quantizer.vectors(codes[1, :25]))
    counts = [torch.bincount(codes[0, :, g], minlength=ENTRIES) for g in range(GROUPS)]
    counts = [count + torch.bincount(codes[1, :25, g], minlength=ENTRIES) for g, count in enumerate(counts)]
    assert torch.equal(output.code_counts, torch.stack(counts))
    training = build(mix_probability=1.0).train()
    assert torch.equal(training.codes(inputs), codes)  # no noise, in training either


def test_gradients_are_those_of_the_soft_choice():
    """Straight through: codebook and projection learn from the frames replaced, all frames learn from themselves."""
    quantizer, inputs = build(mix_probability=1.0).train(), states().requires_grad_()
    output = quantizer(inputs, LENGTHS, SEEDS)
    output.mixed.sum().backward()
    assert quantizer.codebook.grad.abs().sum() > 0
    assert quantizer.projection.weight.grad.abs().sum() > 0
    assert inputs.grad[0].abs().sum() > 0
    assert (inputs.grad[1, 25:] == 1).all()  # padding passes unchanged


def test_diversity_has_a_gradient_and_padding_none():
    quantizer, inputs = build().train(), states().requires_grad_()
    quantizer(inputs, LENGTHS, SEEDS).prob_perplexity.backward()
    assert inputs.grad[0].abs().sum() > 0
    assert (inputs.grad[1, 25:] == 0).all()


def test_share_of_replaced_frames():
    quantizer = build(mix_probability=0.1).eval()
    long, lengths = torch.randn(4, 3000, DIM), torch.tensor([3000] * 4)
    mixed = quantizer(long, lengths, torch.arange(4)).mixed
    share = (mixed != long).any(-1).float().mean().item()
    assert abs(share - 0.1) < 0.01
    assert torch.equal(build(mix_probability=0.0)(long, lengths, torch.arange(4)).mixed, long)


@pytest.mark.parametrize("training", [True, False])
def test_an_utterance_does_not_depend_on_its_batch(training):
    quantizer, inputs = build().train(training), states()
    batch = quantizer(inputs, LENGTHS, SEEDS)
    alone = [quantizer(inputs[row : row + 1, :n], LENGTHS[row : row + 1], SEEDS[row : row + 1])
             for row, n in enumerate(LENGTHS)]  # fmt: skip
    for row, length in enumerate(LENGTHS):
        torch.testing.assert_close(batch.mixed[row, :length], alone[row].mixed[0])
    assert torch.equal(batch.code_counts, alone[0].code_counts + alone[1].code_counts)


@pytest.mark.parametrize("training", [True, False])
def test_padding_is_in_no_statistic(training):
    quantizer, inputs = build().train(training), states()
    garbage = inputs.clone()
    garbage[1, 25:] = 100.0
    ours, other = quantizer(inputs, LENGTHS, SEEDS), quantizer(garbage, LENGTHS, SEEDS)
    assert ours.code_counts.sum() == GROUPS * LENGTHS.sum()
    assert torch.equal(ours.code_counts, other.code_counts)
    assert torch.equal(ours.prob_sums, other.prob_sums) and ours.prob_perplexity == other.prob_perplexity


def test_noise_changes_the_choice_with_the_seed_only():
    quantizer, inputs = build().train(), states()
    first = quantizer(inputs, LENGTHS, SEEDS)
    torch.testing.assert_close(first.mixed, quantizer(inputs, LENGTHS, SEEDS).mixed, rtol=0, atol=0)
    assert not torch.equal(first.code_counts, quantizer(inputs, LENGTHS, SEEDS + 9).code_counts)


def test_gumbel_choices_follow_the_softmax():
    """argmax(logits + Gumbel noise) is a draw from softmax(logits), at any temperature."""
    quantizer = build(mix_probability=0.0).train()
    frame = torch.randn(DIM)
    with torch.no_grad():
        quantizer.projection.weight.mul_(0.2)
    length = 4000
    output = quantizer(frame.expand(1, length, DIM), torch.tensor([length]), torch.tensor([1]))
    wanted = quantizer.projection(frame).view(GROUPS, ENTRIES).softmax(-1)
    assert (output.code_counts / length - wanted).abs().max() < 0.03


def test_perplexity_by_hand():
    uniform, single = torch.full((1, 4), 0.25), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    assert perplexity(uniform).item() == pytest.approx(4.0, abs=1e-4)
    assert perplexity(single).item() == pytest.approx(1.0, abs=1e-4)
    assert perplexity(torch.cat([uniform, single])).item() == pytest.approx(5.0, abs=1e-4)
    skewed = torch.tensor([[0.5, 0.25, 0.25, 0.0]])
    expected = math.exp(0.5 * math.log(2) + 0.5 * math.log(4))
    assert perplexity(skewed).item() == pytest.approx(expected, abs=1e-4)


def test_sums_of_the_probabilities_give_their_perplexity():
    output = build().train()(states(), LENGTHS, SEEDS)
    torch.testing.assert_close(output.prob_sums.sum(-1), LENGTHS.sum().expand(GROUPS).float())
    torch.testing.assert_close(perplexity(output.prob_sums / LENGTHS.sum()), output.prob_perplexity.detach())
    assert output.prob_perplexity.requires_grad and not output.prob_sums.requires_grad


def test_one_code_for_every_frame():
    quantizer = build().eval()
    with torch.no_grad():
        quantizer.projection.weight.zero_()
        quantizer.projection.bias.copy_(torch.tensor([9.0, 0, 0, 0, 0] * GROUPS))
    output = quantizer(states(), LENGTHS, SEEDS)
    assert perplexity(output.code_counts / LENGTHS.sum()).item() == pytest.approx(GROUPS, abs=1e-4)
    assert output.code_counts[:, 0].tolist() == [int(LENGTHS.sum())] * GROUPS


def test_temperature_falls_to_its_end():
    quantizer = build(decay=0.9)
    temperatures = []
    for updates in (0, 1, 5, 1000):
        quantizer.set_num_updates(updates)
        temperatures.append(quantizer.temperature)
    assert temperatures == pytest.approx([2.0, 1.8, 2.0 * 0.9**5, 0.5])
    assert quantizer(states(), LENGTHS, SEEDS).temperature == 0.5


def test_half_precision_states():
    quantizer, inputs = build().train().bfloat16(), states().bfloat16()
    output = quantizer(inputs, LENGTHS, SEEDS)
    assert output.mixed.dtype == torch.bfloat16 and output.prob_perplexity.dtype == torch.float32


def test_groups_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="embed_dim 12 .*codebook_groups 5"):
        Quantizer(dim=12, groups=5, entries=2, mix_probability=0.1, start_temperature=2, end_temperature=1, decay=0.9)


def test_recent_states_are_kept_on_demand_and_in_training_alone():
    quantizer, inputs = build().train(), states()
    quantizer(inputs, LENGTHS, SEEDS)
    quantizer.kept_states = 5
    quantizer.eval()(inputs, LENGTHS, SEEDS)
    assert not quantizer.recent
    quantizer.train()(inputs, LENGTHS, SEEDS)
    (kept,) = quantizer.recent
    frames = torch.cat([inputs[0], inputs[1, :25]])  # 65 valid ones
    assert torch.equal(kept, frames[[0, 13, 26, 39, 52]])


def test_spread_repeats_rows_where_there_are_few_and_makes_none_up():
    rows = torch.arange(3.0)[:, None]
    assert spread(rows, 5).flatten().tolist() == [0, 0, 1, 1, 2]
    assert spread(rows[:0], 5).shape == (0, 1)


def collapsed():
    """All frames choose entry 3 of group 0 and spread over group 1."""
    quantizer = build().eval()
    with torch.no_grad():
        quantizer.projection.bias[3] = 50.0
    return quantizer


def counts_of(quantizer, inputs):
    lengths = torch.tensor([inputs.size(1)] * len(inputs))
    return quantizer(inputs, lengths, torch.arange(len(inputs))).code_counts


def test_a_revived_entry_is_made_of_a_state_and_takes_half_of_the_frames_that_it_splits():
    quantizer, inputs = collapsed(), torch.randn(4, 500, DIM, generator=torch.Generator().manual_seed(2))
    recent, before = inputs[0], {name: value.clone() for name, value in quantizer.state_dict().items()}
    assert counts_of(quantizer, inputs)[0].tolist() == [0, 0, 0, 2000, 0]
    dead = torch.zeros(GROUPS, ENTRIES, dtype=torch.bool)
    dead[0, 1] = True
    quantizer.revive(dead, recent, torch.Generator().manual_seed(3))
    counts = counts_of(quantizer, inputs)
    assert counts[0, 1] + counts[0, 3] == 2000 and 800 < counts[0, 1] < 1200
    vector = quantizer.codebook[0, 1]
    source = (recent[:, : DIM // GROUPS] == vector).all(-1).nonzero().item()
    logits = quantizer.projection(recent).unflatten(-1, (GROUPS, ENTRIES))[:, 0]
    ahead = logits[:, 1] - logits[:, 3]
    assert ahead[source].item() == pytest.approx(SPLIT, abs=1e-3) and ahead.mean().item() == pytest.approx(0, abs=1e-3)
    for name, value in quantizer.state_dict().items():  # nothing else has changed
        same = (value == before[name]).view(GROUPS, ENTRIES, -1).all(-1)
        assert torch.equal(same, ~dead), name


def test_all_dead_entries_of_a_group_come_back_at_once():
    quantizer, inputs = collapsed(), torch.randn(4, 500, DIM, generator=torch.Generator().manual_seed(2))
    quantizer.revive(counts_of(quantizer, inputs) == 0, inputs[1], torch.Generator().manual_seed(3))
    assert (counts_of(quantizer, inputs) > 0).all()


def test_states_that_are_all_alike_split_by_the_noise():
    quantizer = collapsed()
    dead = torch.zeros(GROUPS, ENTRIES, dtype=torch.bool)
    dead[0, 1] = True
    same = torch.ones(7, DIM)
    quantizer.revive(dead, same, torch.Generator().manual_seed(3))
    logits = quantizer.projection(same).unflatten(-1, (GROUPS, ENTRIES))[:, 0]
    torch.testing.assert_close(logits[:, 1], logits[:, 3])
