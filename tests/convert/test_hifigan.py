"""A HiFi-GAN written in each layout: `transformers` loads its own, and ours comes back from both."""

import re

import pytest
import torch
from transformers import SpeechT5HifiGan

from speecht5_fairseq.convert.hifigan import export_huggingface, export_original
from speecht5_fairseq.generation.hifigan_checkpoint import HUGGINGFACE_TABLE, ORIGINAL_TABLE, translated_name
from speecht5_fairseq.generation.vocoder import load_vocoder
from speecht5_fairseq.modules.hifigan import HifiganGenerator, HifiganSizes, add_weight_norm

SIZES = HifiganSizes(32, (8, 4, 8), (16, 8, 20), (3, 5), ((1, 3, 5), (2,)), slope=0.2)


def generator(sizes=SIZES):
    net = HifiganGenerator(sizes=sizes).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(std=0.1)
        net.mean.normal_(-2)
        net.scale.uniform_(0.5, 1.5)
    return net


@pytest.mark.parametrize("table", [HUGGINGFACE_TABLE, ORIGINAL_TABLE], ids=["huggingface", "original"])
def test_the_table_is_one_to_one(table):
    names = list(HifiganGenerator(sizes=SIZES).state_dict())
    theirs = [translated_name(name, table) for name in names]
    assert len(set(theirs)) == len(names)
    patterns = {re.sub(r"\.\d+", ".#", name).removesuffix(".weight").removesuffix(".bias") for name in names}
    assert patterns == {re.sub(r"\{\w\}", "#", name) for name in table}  # and no row is left over
    with pytest.raises(KeyError):
        translated_name("postnet.weight", table)


@torch.no_grad()
@pytest.mark.parametrize("normalize", [True, False])
def test_transformers_loads_the_export(tmp_path, normalize):
    net, mel = generator(SIZES._replace(normalize=normalize)), torch.randn(9, 80) - 2
    expected = net(mel[None])[0]
    export_huggingface(net, tmp_path)
    theirs, report = SpeechT5HifiGan.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert (theirs.eval()(mel) - expected).abs().max() < 1e-6 and expected.abs().max() > 0.01
    assert torch.equal(load_vocoder(str(tmp_path))(mel), expected)
    theirs.save_pretrained(tmp_path / "again")  # with our mel settings still in its configuration
    assert torch.equal(load_vocoder(str(tmp_path / "again"))(mel), expected)


@torch.no_grad()
def test_the_original_layout_comes_back(tmp_path):
    net, mel = generator(), torch.randn(9, 80) - 2
    export_original(net, tmp_path)
    names = torch.load(tmp_path / "checkpoint.pkl", weights_only=True)["model"]["generator"]
    assert {"upsamples.1.1.weight_g", "blocks.5.convs2.0.1.weight_v", "output_conv.1.bias"} <= set(names)
    assert not {"mean", "scale"} & set(names)
    assert (load_vocoder(str(tmp_path))(mel) - net(mel[None])[0]).abs().max() < 1e-6


@torch.no_grad()
def test_weight_norm_is_folded_on_the_way_out(tmp_path):
    net, mel = generator(), torch.randn(9, 80) - 2
    expected = net(mel[None])[0]
    add_weight_norm(net)
    for name, export in (("huggingface", export_huggingface), ("original", export_original)):
        export(net, tmp_path / name)
        assert (load_vocoder(str(tmp_path / name))(mel) - expected).abs().max() < 1e-6


def test_the_original_layout_cannot_leave_the_mel_as_it_comes(tmp_path):
    with pytest.raises(ValueError, match="normalize is False.*mean 0 and scale 1"):
        export_original(generator(SIZES._replace(normalize=False)), tmp_path)
