"""The published command lines as a document has them are those that the tests run."""

import re
import shlex
from pathlib import Path

import pytest
from fairseq import options
from published_lines import TRAINING, whole_lines

DOCUMENT = Path(__file__).parents[2] / "examples" / "published" / "README.md"


def documented() -> list[list[list[str]]]:
    """The commands of each block of the document."""
    blocks = re.findall(r"^```\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [[shlex.split(line) for line in block.replace("\\\n", " ").strip().splitlines()] for block in blocks]


def test_the_document_has_every_line():
    assert len(documented()) == len(TRAINING)


@pytest.mark.parametrize("place, job", list(enumerate(TRAINING)), ids=TRAINING)
def test_a_line_of_the_document_is_the_one_that_is_tested(place, job):
    assert documented()[place] == whole_lines(job)


@pytest.mark.parametrize("job", TRAINING)
def test_fairseq_reads_it_as_it_is_typed(job, monkeypatch):
    for program, *arguments in whole_lines(job):
        monkeypatch.setattr("sys.argv", [program, *arguments])
        training = program == "fairseq-train"
        parser = options.get_training_parser() if training else options.get_generation_parser()
        args = options.parse_args_and_arch(parser, input_args=arguments)
        assert args.data == "DATA" and args.t5_task in arguments and args.task == "speecht5"
        assert not training or args.fp16
