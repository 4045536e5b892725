"""What is shown of a model is what it computes, utterance by utterance."""

import pytest
import torch
from helpers import SYMBOLS, mel_target, speech_source, text_tokens, tiny_dictionary, tiny_model

from speecht5_fairseq.constants import MEL_HOP
from speecht5_fairseq.data.collate import shift_right
from speecht5_fairseq.generation import previews
from speecht5_fairseq.generation.beam_search import JointBeamSearch
from speecht5_fairseq.generation.ctc_greedy import CTCGreedySearch
from speecht5_fairseq.generation.previews import Picture, Sound, Utterances

PAD, EOS = tiny_dictionary().pad(), tiny_dictionary().eos()
TITLES = ("valid.tsv:2", "valid.tsv:3")


@pytest.fixture
def drawn(monkeypatch):
    """What would have been drawn, in its order."""
    calls = []
    for name in ("speech_figure", "alignment_figure", "codebook_figure"):
        monkeypatch.setattr(previews, name, lambda *arguments, **options: calls.append((arguments, options)))
    monkeypatch.setattr(previews, "pixels", lambda figure: figure)
    return calls


def synthesis():
    inputs = {"source_tokens": text_tokens(9, 6), "seeds": torch.tensor([1, 2]), **mel_target(20, 13)}
    return Utterances({"net_input": inputs}, TITLES, first=True)


def recognition():
    target = text_tokens(8, 5)
    target[0, -1] = target[1, 4] = EOS
    inputs = {**speech_source(9000, 6000), "prev_output_tokens": shift_right(target, start=EOS, pad=PAD)}
    lengths = torch.tensor([8, 5])
    return Utterances({"net_input": inputs, "target": target, "target_lengths": lengths}, TITLES, first=True)


@torch.no_grad()
def test_a_teacher_forced_prediction_stands_beside_its_target_without_padding(drawn):
    model, shown = tiny_model("t2s").eval(), synthesis()
    names = [each.name for each in previews.teacher_forced_speech(model, shown)]
    assert names == [f"utterance_{row}/mel_teacher_forced" for row in (1, 2)]
    output = model(**shown.batch["net_input"], watch=model.decoder.everything).speech
    for row, (frames, positions) in enumerate(((20, 9), (12, 6))):  # of 13 frames a step of two more is left out
        ((mels, (alignment,)), _) = drawn[row]
        target, prediction = mels.values()
        assert [*mels] == [f"{TITLES[row]}: target", "prediction, teacher forced"]
        assert torch.equal(target, shown.batch["net_input"]["target_frames"][row, :frames])
        assert torch.equal(prediction, output.refined[row, :frames])
        assert alignment.shape == (frames // 2, positions)
        torch.testing.assert_close(alignment.sum(1), torch.ones(frames // 2))
        heads = torch.cat([layer[row, :, : frames // 2, :positions] for layer in output.attention])
        assert alignment.amax(1).mean() == heads.amax(2).mean(1).max()


@torch.no_grad()
@pytest.mark.parametrize("job", ["t2s", "s2s"])
def test_generated_speech_is_drawn_and_heard_and_its_target_once(drawn, job):
    model, shown = tiny_model(job).eval(), synthesis()
    if job == "s2s":
        inputs = {**speech_source(9000, 6000), **mel_target(20, 13)}
        shown = shown._replace(batch={"net_input": inputs})
    found = [*previews.generated_speech(model, shown)]
    names = ("mel_generated", "generated", "target")
    assert [each.name for each in found] == [f"utterance_{row}/{name}" for row in (1, 2) for name in names]
    assert [type(each) for each in found] == [Picture, Sound, Sound] * 2
    for row, frames in enumerate((20, 13)):
        ((mels, (alignment,)), _) = drawn[row]
        ((title, mel),) = mels.items()
        made, target = found[3 * row + 1].wave, found[3 * row + 2].wave
        assert len(target) == frames * MEL_HOP and len(made) == len(mel) * MEL_HOP and len(alignment) == len(mel) // 2
        assert title.startswith(f"{TITLES[row]}: generated, {len(mel)} frames, ended ") and f"target: {frames}" in title
        assert made.std() > 0 and made.abs().max() <= 1
    again = [each.name for each in previews.generated_speech(model, shown._replace(first=False))]
    assert again == [f"utterance_{row}/{name}" for row in (1, 2) for name in names[:2]]


@torch.no_grad()
def test_speech_that_does_not_stop_ends_at_one_and_a_half_targets(monkeypatch):
    model, shown = tiny_model("t2s").eval(), synthesis()
    torch.nn.init.zeros_(model.speech_decoder_postnet.prob_out.weight)
    torch.nn.init.constant_(model.speech_decoder_postnet.prob_out.bias, -9.0)
    found = previews.generate(model, shown.batch)
    assert all(speech.hit_limit for speech in found)
    assert [len(speech.mel) for speech in found] == [30, 20]  # 1.5 x 20 / 9 frames a symbol, of 9 and 6


@torch.no_grad()
def test_recognised_text_is_that_of_greedy_decoding():
    model, shown, dictionary = tiny_model("s2t").eval(), recognition(), tiny_dictionary()
    (words,) = previews.recognised_text(model, shown, dictionary, "sentencepiece")
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in words.text.splitlines()]
    assert cells[0] == ["utterance", "reference", "CTC", "decoder"]
    sample = {"net_input": shown.batch["net_input"]}
    ctc = CTCGreedySearch(dictionary).generate([model], sample)
    decoder = JointBeamSearch(dictionary, beam=1, max_len_b=18, min_len=0).generate([model], sample)
    for row, title in enumerate(TITLES):
        expected = [title]
        reference = shown.batch["target"][row]
        for tokens in (reference[reference != PAD], ctc[row][0]["tokens"], decoder[row][0]["tokens"]):
            pieces = "".join(dictionary[token] for token in tokens.tolist() if token != EOS)
            expected.append(" ".join(pieces.replace("▁", " ").replace("<unk>", "&lt;unk>").split(" ")).strip())
        assert cells[2 + row] == expected
    assert set("".join(cells[2][1:])) & set(SYMBOLS)


@torch.no_grad()
def test_without_a_ctc_head_the_decoder_is_shown_alone():
    model = tiny_model("s2t", no_ctc_head=True).eval()
    (words,) = previews.recognised_text(model, recognition(), tiny_dictionary(), "sentencepiece")
    assert words.text.splitlines()[0] == "| utterance | reference | decoder |"


@torch.no_grad()
def test_the_alignment_of_text_has_a_row_for_each_symbol(drawn):
    model, shown = tiny_model("s2t").eval(), recognition()
    names = [each.name for each in previews.text_alignment(model, shown, tiny_dictionary())]
    assert names == ["utterance_1/alignment", "utterance_2/alignment"]
    for row, (length, frames) in enumerate(((8, 27), (5, 18))):
        ((alignment, symbols), options) = drawn[row]
        assert alignment.shape == (length, frames) and options == {"title": TITLES[row]}
        assert symbols[-1] == "</s>" and len(symbols) == length
        torch.testing.assert_close(alignment.sum(1), torch.ones(length))


def test_use_of_the_codebook_is_in_shares(drawn):
    speech, text = torch.tensor([[6, 2, 0], [0, 0, 8]]), torch.tensor([[1, 1, 2], [4, 0, 0]])
    (picture,) = previews.codebook_use(speech, text)
    assert picture.name == "codebook"
    ((shares,), _) = drawn[0]
    assert [*shares] == ["speech", "text", "both (the smaller share)"]
    assert shares["speech"].tolist() == [[0.75, 0.25, 0], [0, 0, 1]]
    assert shares["text"].tolist() == [[0.25, 0.25, 0.5], [1, 0, 0]]
    assert shares["both (the smaller share)"].tolist() == [[0.25, 0.25, 0], [0, 0, 0]]
    [*previews.codebook_use(speech, None)]
    assert [*drawn[1][0][0]] == ["speech"]


def test_a_bar_in_a_text_is_no_border_of_a_table():
    assert previews._cell("a|b <unk>") == "a\\|b &lt;unk>"


@torch.no_grad()
def test_a_prediction_from_the_source_is_as_long_as_it(drawn):
    """Enhancement by a mask: the decoder hears the noisy frames."""
    model = tiny_model("s2s", speech_prediction="mask", reduction_factor=1).eval()
    shown = Utterances({"net_input": {**speech_source(9000, 6000), **mel_target(36, 24)}}, TITLES, first=True)
    assert [len(speech.mel) for speech in previews.generate(model, shown.batch)] == [36, 24]
    [*previews.teacher_forced_speech(model, shown)]
    assert [alignment.shape for ((_, (alignment,)), _) in drawn] == [(36, 27), (24, 18)]


@torch.no_grad()
@pytest.mark.parametrize("job", ["t2s", "s2t"])
def test_half_precision_is_shown(job):
    """Models of --bf16 and --fp16 get their utterances so."""
    model = tiny_model(job).bfloat16().eval()
    shown = synthesis() if job == "t2s" else recognition()
    inputs = shown.batch["net_input"]
    inputs |= {name: tensor.bfloat16() for name, tensor in inputs.items() if tensor.is_floating_point()}
    if job == "t2s":
        found = [*previews.teacher_forced_speech(model, shown), *previews.generated_speech(model, shown)]
    else:
        dictionary = tiny_dictionary()
        found = [*previews.recognised_text(model, shown, dictionary, "none")]
        found += previews.text_alignment(model, shown, dictionary)
    assert len(found) == (8 if job == "t2s" else 3)
