"""The task of speech to text: data, model and generator from its options."""

import pytest
import torch
from fairseq.dataclass.configs import GenerationConfig
from helpers import NEW_RUN, SYMBOLS, model_options, tiny_config, tiny_manifest, tiny_model

from speecht5_fairseq.criterions.s2t import S2TCriterion, S2TCriterionConfig
from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.generation.beam_search import JointBeamSearch
from speecht5_fairseq.generation.ctc_greedy import CTCGreedySearch
from speecht5_fairseq.models import SpeechT5Model
from speecht5_fairseq.tasks.s2t import S2TTask, S2TTaskConfig


def setup(folder, **options):
    borrowed = {"path": None, "seed": 1, "train_subset": "train", "lm_path": None, "fp16": False, "num_shards": 1}
    cfg = S2TTaskConfig(data=str(folder), **{**borrowed, **options})
    return S2TTask.setup_task(cfg)


def test_from_files_to_a_loss(tmp_path):
    tiny_manifest(tmp_path, 3)
    task = setup(tmp_path)
    task.load_dataset("train")
    data = task.datasets["train"]
    batch = data.collater([data[row] for row in range(3)])
    model = SpeechT5Model.build_model(tiny_config(), task)
    criterion = S2TCriterion.build_criterion(S2TCriterionConfig(sentence_avg=False), task)
    loss, size, _ = criterion(model.train(), batch)
    assert size == batch["ntokens"] and loss.isfinite()
    assert len(task.target_dictionary) == 4 + len(SYMBOLS) + 2
    assert task.target_dictionary[task.ctc_blank] == "<ctc_blank>" and task.source_dictionary is None
    assert model.vocabulary is not None and model.unit_head is None


def test_speech_without_transcripts(tmp_path):
    manifest = tiny_manifest(tmp_path, 2, split="test")
    manifest.with_suffix(".txt").unlink()
    with pytest.raises(DataError, match="test.txt: no text labels"):
        setup(tmp_path).load_dataset("test")
    task = setup(tmp_path, unlabelled=True)
    task.load_dataset("test")
    data = task.datasets["test"]
    assert data.collater([data[0], data[1]])["target"] is None


def test_decoding_picks_the_generator(tmp_path):
    tiny_manifest(tmp_path, 1)
    beam = setup(tmp_path, ctc_decoding_weight=0.3).build_generator([], GenerationConfig(beam=2))
    assert isinstance(beam, JointBeamSearch) and (beam.ctc_weight, beam.beam) == (0.3, 2)
    assert beam.ctc_window is None
    windowed = setup(tmp_path, ctc_decoding_weight=0.3, ctc_window=20.0).build_generator([], GenerationConfig())
    assert windowed.ctc_window == 20.0
    greedy = setup(tmp_path, decoding="ctc-greedy").build_generator([], GenerationConfig())
    assert isinstance(greedy, CTCGreedySearch)


def test_precisions_of_decoding(tmp_path):
    """The same scores to their rounding; those of bfloat16 are others, so it takes effect; greedy CTC too."""
    tiny_manifest(tmp_path, 3, split="test")
    ways = (({"ctc_decoding_weight": 0.3}, {"beam": 2, "max_len_b": 4}), ({"decoding": "ctc-greedy"}, {}))
    found = {}
    for precision in ("float32", "float16", "bfloat16", "float64"):
        for options, search in ways if precision != "float16" else ways[:1]:
            task = setup(tmp_path, generation_precision=precision, **options)
            task.load_dataset("test")
            model, data = tiny_model("s2t").eval(), task.datasets["test"]
            generator = task.build_generator([model], GenerationConfig(**search))
            results = generator.generate([model], data.collater([data[0], data[1], data[2]]))
            found[(precision, *options)] = torch.tensor([float(hypotheses[0]["score"]) for hypotheses in results])
    for way in ("ctc_decoding_weight", "decoding"):
        exact = found[("float64", way)]
        assert (found[("float32", way)] - exact).abs().max() < 1e-4
        rounded = (found[("bfloat16", way)] - exact).abs()
        assert rounded.max() > 0 and rounded.median() < 5e-2  # a near tie may go another way
    assert (
        0 < (found[("float16", "ctc_decoding_weight")] - found[("float64", "ctc_decoding_weight")]).abs().max() < 5e-2
    )
    with pytest.raises(ValueError, match="float16 has no effect with --decoding ctc-greedy on a CPU"):
        task = setup(tmp_path, decoding="ctc-greedy", generation_precision="float16")
        task.build_generator([tiny_model("s2t").eval()], GenerationConfig())
    with pytest.raises(ValueError, match="float16 has no effect with --ctc-decoding-weight 1 on a CPU: .* below 1$"):
        task = setup(tmp_path, ctc_decoding_weight=1.0, generation_precision="float16")
        task.build_generator([tiny_model("s2t").eval()], GenerationConfig())
    with pytest.raises(ValueError, match="--fp16 and --generation-precision bfloat16"):
        task = setup(tmp_path, fp16=True, generation_precision="bfloat16")
        task.build_generator([tiny_model("s2t")], GenerationConfig())


def test_a_missing_dictionary_is_named_with_its_mend(tmp_path):
    tiny_manifest(tmp_path, 1)
    (tmp_path / "dict.txt").unlink()
    with pytest.raises(DataError, match="dict.txt: no such dictionary; make it with"):
        setup(tmp_path)


def test_what_would_have_no_effect_is_refused(tmp_path, caplog):
    tiny_manifest(tmp_path, 1)
    with pytest.raises(ValueError, match="--num-shards 2 has no effect in fairseq-generate, and every run would do"):
        setup(tmp_path, num_shards=2).build_generator([], GenerationConfig())
    with pytest.raises(ValueError, match="--ctc-decoding-weight 0.3 has no effect with --decoding ctc-greedy"):
        setup(tmp_path, decoding="ctc-greedy", ctc_decoding_weight=0.3).build_generator([], GenerationConfig())
    with pytest.raises(ValueError, match="--ctc-window 20.0 has no effect with --decoding ctc-greedy"):
        setup(tmp_path, decoding="ctc-greedy", ctc_window=20.0).build_generator([], GenerationConfig())
    with pytest.raises(ValueError, match="--ctc-window 20.0 has no effect with --ctc-decoding-weight 0"):
        setup(tmp_path, ctc_window=20.0).build_generator([], GenerationConfig())
    with pytest.raises(ValueError, match="prefix_allowed_tokens_fn"):
        setup(tmp_path).build_generator([], GenerationConfig(), prefix_allowed_tokens_fn=print)
    task = setup(tmp_path)
    SpeechT5Model.build_model(tiny_config(unit_dim=64, reduction_factor=3), task)
    assert "no effect: --reduction-factor 3" in caplog.text
    assert "this job builds no speech_decoder_postnet" in caplog.text
    assert "--unit-dim 64" in caplog.text and "conv-channels" not in caplog.text
    setup(tmp_path, unlabelled=True, spm_model="x.model", train_subset="other").load_dataset("train")
    assert "no effect: --spm-model x.model; --unlabelled reads no transcripts" in caplog.text


def test_options_of_decoding_have_no_effect_in_training(tmp_path, caplog):
    tiny_manifest(tmp_path, 1)
    task = setup(tmp_path, decoding="ctc-greedy", ctc_decoding_weight=0.2, ctc_window=9.0, **NEW_RUN)
    task.build_model(model_options())
    said = "no effect: --decoding ctc-greedy, --ctc-decoding-weight 0.2, --ctc-window 9.0; training does not decode"
    assert said in caplog.text
    caplog.clear()
    task.build_model(model_options(), from_checkpoint=True)  # fairseq-generate
    assert "decoding" not in caplog.text


def test_options_of_other_jobs_heads_are_named(tmp_path, caplog):
    tiny_manifest(tmp_path, 1)
    setup(tmp_path, **NEW_RUN).build_model(model_options(codebook_prob=0.3, no_ctc_head=True, mask_prob=0.0))
    assert "no effect: --codebook-prob 0.3; this job has no quantizer" in caplog.text
    assert "no-ctc-head" not in caplog.text and "no effect: --mask-prob" not in caplog.text


def test_limits_of_training_have_no_effect_in_decoding(tmp_path, caplog):
    tiny_manifest(tmp_path, 1)
    task = setup(tmp_path, min_speech_samples=500, max_speech_samples=90_000)
    task.build_generator([], GenerationConfig())
    assert "no effect: --min-speech-samples 500, --max-speech-samples 90000; only training leaves rows" in caplog.text


def test_training_without_transcripts_is_refused(tmp_path):
    tiny_manifest(tmp_path, 1)
    task = setup(tmp_path, unlabelled=True)
    with pytest.raises(ValueError, match=r"--unlabelled is for decoding, and .*/train.txt\): drop --unlabelled"):
        task.load_dataset("train")


def test_a_training_split_is_decoded_like_any_other(tmp_path):
    """Whole and in the manifest's order, with its transcripts or without."""
    tiny_manifest(tmp_path, 2)
    task = setup(tmp_path, unlabelled=True, min_speech_samples=10_000_000)
    task.build_model(model_options(), from_checkpoint=True)
    assert not task.is_training("train")
    task.load_dataset("train")
    assert len(task.datasets["train"].ordered_indices()) == 2
