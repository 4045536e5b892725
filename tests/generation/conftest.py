"""A small deterministic model with the interface that the decoders call, so that hypotheses can be enumerated."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from fairseq.data import Dictionary
from fairseq.models.transformer_lm import TransformerLanguageModel, TransformerLanguageModelConfig
from torch import nn

from speecht5_fairseq.outputs import EncoderOutput

WINDOW = 4  # samples a frame
DIM = 6


class ToyState:
    def __init__(self, speech):
        self.speech, self.hidden = speech, None

    def reorder(self, rows):
        self.hidden = self.hidden[rows]

    def keep_utterances(self, index):
        self.speech = self.speech[index]


class ToyModel(nn.Module):
    """A recurrent decoder over the mean of the encoder's states, and a CTC head; random weights, no training."""

    has_ctc = True

    def __init__(self, dictionary, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        size = len(dictionary)
        shapes = {"frames": (WINDOW, DIM), "speech": (DIM, DIM), "token": (size, DIM), "step": (DIM, DIM)}
        shapes |= {"out": (DIM, size), "ctc": (DIM, size)}
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)))

    def encode(self, *, waveform, sample_lengths, seeds=None):
        frames = waveform.double().unflatten(1, (-1, WINDOW))
        lengths = sample_lengths // WINDOW
        padded = torch.arange(frames.size(1), device=frames.device) >= lengths[:, None]
        return EncoderOutput((frames @ self.frames).tanh(), lengths, padded)

    def ctc_log_probs(self, encoded):
        return (3 * encoded.states @ self.ctc).log_softmax(-1).float()

    def start_decoding(self, encoded):
        states = encoded.states.masked_fill(encoded.padding_mask[:, :, None], 0.0)
        return ToyState(states.sum(1) / encoded.lengths[:, None] @ self.speech)

    def next_token_log_probs(self, tokens, state):
        speech = state.speech.repeat_interleave(len(tokens) // len(state.speech), 0)
        hidden = 0.0 if state.hidden is None else state.hidden @ self.step
        state.hidden = (hidden + self.token[tokens] + 3 * speech).tanh()
        return (state.hidden @ self.out).log_softmax(-1).float()


class Toy:
    """The model, its dictionary, and scores of whole hypotheses without any search."""

    def __init__(self, letters):
        self.dictionary = Dictionary()
        for symbol in (*letters, "<mask>", "<ctc_blank>"):
            self.dictionary.add_symbol(symbol)
        self.eos, self.blank = self.dictionary.eos(), self.dictionary.index("<ctc_blank>")
        self.spellable = list(range(self.dictionary.unk(), self.dictionary.index("<mask>")))
        self.model = ToyModel(self.dictionary)

    def sample(self, *frames, seed=0):
        """A batch of utterances of so many frames, zero padded."""
        generator = torch.Generator().manual_seed(seed)
        waves = [torch.randn(count * WINDOW, generator=generator) for count in frames]
        return {
            "id": torch.arange(len(frames)) + 100,
            "nsentences": len(frames),
            "net_input": {
                "waveform": nn.utils.rnn.pad_sequence(waves, batch_first=True),
                "sample_lengths": torch.tensor([len(wave) for wave in waves]),
                "prev_output_tokens": torch.zeros(len(frames), 3, dtype=torch.int64),
            },
        }

    def alone(self, sample, place):
        """The utterance at `place` as a batch of its own."""
        length = sample["net_input"]["sample_lengths"][place]
        net_input = {"waveform": sample["net_input"]["waveform"][place : place + 1, :length]}
        return {"id": sample["id"][place : place + 1], "net_input": net_input | {"sample_lengths": length[None]}}

    def encode(self, sample):
        return self.model.encode(**{k: v for k, v in sample["net_input"].items() if k != "prev_output_tokens"})

    @torch.no_grad()
    def decoder_score(self, sample, tokens, temperature=1.0):
        """log p(tokens) of the decoder; `sample` holds one utterance, `tokens` end with </s>."""
        state, total = self.model.start_decoding(self.encode(sample)), 0.0
        for previous, token in itertools.pairwise((self.eos, *tokens)):
            log_probs = self.model.next_token_log_probs(torch.tensor([previous]), state)[0]
            total += (log_probs / temperature).log_softmax(-1)[token].item()
        return total

    @torch.no_grad()
    def ctc_score(self, sample, tokens):
        """log p(tokens) of the CTC head, by torch's own CTC loss; </s> at the end is left out."""
        encoded = self.encode(sample)
        log_probs = self.model.ctc_log_probs(encoded).double().transpose(0, 1)
        labels, sizes = torch.tensor([tokens[:-1]], dtype=torch.int64), torch.tensor([len(tokens) - 1])
        return -nn.functional.ctc_loss(
            log_probs, labels, encoded.lengths, sizes, blank=self.blank, reduction="sum"
        ).item()

    def all_outputs(self, longest, shortest=1):
        """Every output of `shortest` to `longest` symbols, </s> added."""
        sizes = range(shortest, longest + 1)
        return [(*h, self.eos) for size in sizes for h in itertools.product(self.spellable, repeat=size)]


@pytest.fixture
def toy():
    return Toy(letters="ab")


@pytest.fixture
def large_toy():
    return Toy(letters="abcdefghij")


@pytest.fixture
def make_language_model():
    """Build a tiny Transformer language model over the symbols of a dictionary, without the appended ones."""

    def make(dictionary, positions=64):
        symbols = Dictionary()
        for symbol in dictionary.symbols[dictionary.nspecial :]:
            if symbol not in ("<mask>", "<ctc_blank>"):
                symbols.add_symbol(symbol)
        cfg = TransformerLanguageModelConfig(
            dropout=0.0,
            decoder_embed_dim=16,
            decoder_output_dim=16,
            decoder_input_dim=16,
            decoder_ffn_embed_dim=32,
            decoder_layers=2,
            decoder_attention_heads=2,
            share_decoder_input_output_embed=True,
            max_target_positions=positions,
            tokens_per_sample=positions,
        )
        torch.manual_seed(0)
        task = SimpleNamespace(source_dictionary=symbols, target_dictionary=symbols, dictionary=symbols)
        model = TransformerLanguageModel.build_model(cfg, task)
        with torch.no_grad():
            model.decoder.embed_tokens.weight.mul_(8)  # far from uniform
        return model.eval()

    return make
