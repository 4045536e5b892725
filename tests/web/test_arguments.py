"""What the command line refuses before a model is loaded."""

import pytest

from speecht5_fairseq.web.arguments import Checkpoint, build_parser, check, checkpoint_of


def test_a_checkpoint_and_its_files():
    found = checkpoint_of("say", ["tts.pt", "spm_model=spm.model", "dictionary=a=b.txt"])
    assert found == Checkpoint("tts.pt", (("dictionary", "a=b.txt"), ("spm_model", "spm.model")))


@pytest.mark.parametrize("word", ["dict.txt", "dict=dict.txt"])
def test_a_file_without_its_key(word):
    with pytest.raises(ValueError, match=f"--say tts.pt {word}: after the checkpoint comes KEY=FILE, of dictionary"):
        checkpoint_of("say", ["tts.pt", word])


@pytest.mark.parametrize(
    "line, message",
    [
        ("", "no checkpoint: give one or more of --recognise CHECKPOINT, --say"),
        ("--say a.pt", "--say needs a voice: give --voices VECTOR.npy, or --voices-of"),
        ("--recognise a.pt --voices v.npy", "--voices has no effect without --say or --convert or --enhance"),
        ("--identify a.pt --precision float16", "--precision has no effect without --recognise"),
        ("--identify a.pt --beam 3", "--beam has no effect without --recognise"),
        ("--recognise a.pt --beam 0", "--beam 0: give a number above 0"),
        ("--recognise a.pt --max-seconds nan", "--max-seconds nan: give a number above 0"),
        ("--recognise a.pt --max-megabytes inf", "--max-megabytes inf: give a number above 0"),
        ("--recognise a.pt --max-waiting -1", "--max-waiting -1: give 0 or more"),
        ("--recognise a.pt --port 65536", "--port 65536: give 0 to 65535"),
        ("--say a.pt --voices v.npy --vocoder none", "--vocoder none: makes no waveform"),
    ],
)
def test_what_does_not_go_together(line, message):
    with pytest.raises(ValueError, match=message):
        check(build_parser().parse_args(line.split()))


def test_each_option_has_help():
    assert all(action.help for action in build_parser()._actions)
