"""Every option has a help line, is read, and clashes with none of fairseq's."""

import argparse
import ast
import dataclasses
from pathlib import Path

import pytest
from fairseq import options
from fairseq.dataclass import FairseqDataclass
from fairseq.models.wav2vec.wav2vec2 import Wav2Vec2Config

import speecht5_fairseq
from speecht5_fairseq.criterions.pretrain import PretrainCriterionConfig
from speecht5_fairseq.criterions.s2t import S2TCriterionConfig
from speecht5_fairseq.models import SpeechT5Config, SpeechT5LargeConfig, SpeechT5SmallConfig
from speecht5_fairseq.scoring.fairseq_scorer import WerCerScorerConfig
from speecht5_fairseq.tasks.pretrain import PretrainTaskConfig
from speecht5_fairseq.tasks.s2t import S2TTaskConfig

PACKAGE = Path(speecht5_fairseq.__file__).parent
TASKS = {"speecht5_pretrain": PretrainTaskConfig, "speecht5_s2t": S2TTaskConfig}
CONFIGS = [
    *TASKS.values(),
    SpeechT5Config,
    SpeechT5LargeConfig,
    SpeechT5SmallConfig,
    S2TCriterionConfig,
    PretrainCriterionConfig,
    WerCerScorerConfig,
]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


FIELDS = {
    f"{config.__name__}.{field.name}": field
    for config in CONFIGS
    for field in dataclasses.fields(config)
    if not field.name.startswith("_")
}


def is_borrowed(field) -> bool:
    """Whether the field is another group's option by reference: II("common.seed")."""
    return isinstance(field.default, str) and field.default.startswith("${")


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_every_option_has_one_line_of_help(field):
    text = field.metadata.get("help", "")
    assert is_borrowed(field) or (text and "\n" not in text and not text.endswith(".")), text


def names_read() -> set[str]:
    """Every `.name` and plain name that the package reads; writing one, as a dataclass field does, is not reading."""
    nodes = (node for tree in TREES.values() for node in ast.walk(tree))
    loads = [node for node in nodes if isinstance(getattr(node, "ctx", None), ast.Load)]
    attributes = {node.attr for node in loads if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in loads if isinstance(node, ast.Name)}


NAMES_READ = names_read()


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_every_option_is_read(field):
    assert field.name in NAMES_READ


def test_presets_change_defaults_only():
    base = {field.name for field in dataclasses.fields(SpeechT5Config)}
    for preset in (SpeechT5LargeConfig, SpeechT5SmallConfig):
        assert {field.name for field in dataclasses.fields(preset)} == base


def registered() -> list[type]:
    """Every dataclass of the package that is registered with fairseq, by its base."""
    def below(config):
        yield config
        for other in config.__subclasses__():
            yield from below(other)

    return [config for config in below(FairseqDataclass) if config.__module__.startswith(PACKAGE.name)]


def test_every_registered_config_is_tested_here():
    abstract = {"SpeechTaskConfig"}
    assert {config.__name__ for config in registered()} - abstract == {config.__name__ for config in CONFIGS}


def names(config) -> list[str]:
    return [field.name for field in dataclasses.fields(config) if not field.name.startswith("_")]


def generation_parser() -> argparse.ArgumentParser:
    """The parser of fairseq-generate, which adds wav2vec2 and all its options whatever the task."""
    parser = options.get_generation_parser()
    parser.add_argument("--arch", "-a", default="wav2vec2")
    return parser


PARSERS = {
    "generate": generation_parser,
    "train": options.get_training_parser,
    "validate": options.get_validation_parser,
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("command", PARSERS)
def test_commands_take_the_options_of_a_task(task, command, monkeypatch):
    arguments = ["data", "--task", task]
    if command == "train":
        arguments += ["--arch", "speecht5", "--criterion", task]  # each criterion has its task's name
    else:
        arguments += ["--path", "checkpoint.pt"]
    monkeypatch.setattr("sys.argv", ["command", *arguments])  # the parsers look there for --task
    args = options.parse_args_and_arch(PARSERS[command](), input_args=arguments)
    for field in dataclasses.fields(TASKS[task]):
        if field.name not in ("_name", "data") and not is_borrowed(field):
            assert str(getattr(args, field.name)) == str(field.default), field.name


@pytest.mark.parametrize("task", TASKS)
def test_task_options_have_names_of_their_own(task, monkeypatch):
    """A name that fairseq-generate or wav2vec2 has already is either refused or read as theirs."""
    monkeypatch.setattr("sys.argv", ["fairseq-generate", "data"])
    theirs = {action.dest for action in generation_parser()._actions}
    theirs |= set(names(Wav2Vec2Config))
    assert {"mask_length", "beam", "dropout", "max_tokens"} <= theirs
    own = {field.name for field in dataclasses.fields(TASKS[task]) if field.name != "_name" and not is_borrowed(field)}
    assert not own & theirs


CRITERIONS = {PretrainTaskConfig: PretrainCriterionConfig, S2TTaskConfig: S2TCriterionConfig}


@pytest.mark.parametrize("task", CRITERIONS)
def test_model_criterion_and_task_options_share_no_name(task):
    """They are one flat list on the command line."""
    everything = names(task) + names(CRITERIONS[task]) + names(SpeechT5Config)
    assert len(everything) == len(set(everything))


def calls(name: str):
    """Places that call a built-in by its plain name."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield path.relative_to(PACKAGE), node


def test_no_option_has_a_default_at_its_reader():
    """`getattr(cfg, "name", default)` hides a misspelt option."""
    wrong = [
        f"{path}:{node.lineno}"
        for path, node in calls("getattr")
        if len(node.args) == 3 and ast.unparse(node.args[0]).split(".")[-1] in ("cfg", "args", "config")
    ]
    assert not wrong


def test_nothing_is_evaluated():
    assert not [f"{path}:{node.lineno}" for name in ("eval", "exec") for path, node in calls(name)]
