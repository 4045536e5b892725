"""Every option has a help line, is read, and clashes with none of fairseq's."""

import argparse
import ast
import dataclasses
import math
import sys
import types
from pathlib import Path

import pytest
from fairseq import options
from fairseq.dataclass import FairseqDataclass
from fairseq.models.wav2vec.wav2vec2 import Wav2Vec2Config

import speecht5_fairseq
from speecht5_fairseq.criterions.pretrain import PretrainCriterionConfig
from speecht5_fairseq.criterions.s2c import S2CCriterionConfig
from speecht5_fairseq.criterions.s2t import S2TCriterionConfig
from speecht5_fairseq.criterions.speech import SpeechCriterionConfig
from speecht5_fairseq.models import SpeechT5Config, SpeechT5LargeConfig, SpeechT5SmallConfig
from speecht5_fairseq.models.released_presets import PRESETS
from speecht5_fairseq.optim.fused_adam import SpeechT5FusedAdamConfig
from speecht5_fairseq.ranges import RangeError, check_ranges, ranges_of, read_value
from speecht5_fairseq.scoring.fairseq_scorer import WerCerScorerConfig
from speecht5_fairseq.scoring.translation import BleuChrfScorerConfig
from speecht5_fairseq.tasks.base import SpeechT5Task
from speecht5_fairseq.tasks.pretrain import PretrainTaskConfig
from speecht5_fairseq.tasks.s2c import S2CTaskConfig
from speecht5_fairseq.tasks.s2s import S2STaskConfig
from speecht5_fairseq.tasks.s2t import S2TTaskConfig
from speecht5_fairseq.tasks.speech_options import SpeechTaskConfig
from speecht5_fairseq.tasks.t2s import T2STaskConfig

PACKAGE = Path(speecht5_fairseq.__file__).parent
TASKS = {
    "speecht5_pretrain": PretrainTaskConfig,
    "speecht5_s2t": S2TTaskConfig,
    "speecht5_t2s": T2STaskConfig,
    "speecht5_s2s": S2STaskConfig,
    "speecht5_s2c": S2CTaskConfig,
}
CONFIGS = [
    *TASKS.values(),
    SpeechT5Config,
    SpeechT5LargeConfig,
    SpeechT5SmallConfig,
    S2TCriterionConfig,
    S2CCriterionConfig,
    PretrainCriterionConfig,
    SpeechCriterionConfig,
    SpeechT5FusedAdamConfig,
    WerCerScorerConfig,
    BleuChrfScorerConfig,
]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


CRITERION_NAMES = dict.fromkeys(("speecht5_t2s", "speecht5_s2s"), "speecht5_speech")  # others: as their tasks

FIELDS = {
    f"{config.__name__}.{field.name}": field
    for config in CONFIGS
    for field in dataclasses.fields(config)
    if not field.name.startswith("_")
}


@pytest.mark.parametrize("name", FIELDS)
def test_types_are_those_that_fairseq_and_omegaconf_know(name):
    """Of `X | None` omegaconf 2.0 knows nothing, and fairseq reads a string that was given as Python."""
    field = FIELDS[name]
    assert not isinstance(field.type, types.UnionType) and "|" not in str(field.type), "write Optional[X]"


def is_borrowed(field) -> bool:
    """Whether the field is another group's option by reference: II("common.seed")."""
    return isinstance(field.default, str) and field.default.startswith("${")


NUMBERS = (int, float, int | None, float | None)


def numeric(config: type) -> list[str]:
    """The options of a dataclass that are numbers, but for those of another group."""
    fields = dataclasses.fields(config)
    return [field.name for field in fields if field.type in NUMBERS and not is_borrowed(field)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_number_has_a_range_and_its_default_is_within(config):
    unchecked = set(numeric(config)) - set(ranges_of(config))
    assert not unchecked, f"give {', '.join(sorted(unchecked))} a range (speecht5_fairseq.ranges.ranged)"
    check_ranges(config(), config)


@pytest.mark.parametrize("config", [config for config in CONFIGS if numeric(config)], ids=lambda each: each.__name__)
def test_no_number_may_be_infinite_or_none(config):
    for name in numeric(config):
        for value in (math.nan, math.inf, -math.inf):
            with pytest.raises(RangeError, match=f"--{name.replace('_', '-')} {value}: give "):
                read_value(name, value, ranges_of(config)[name])


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_every_option_has_one_line_of_help(field):
    text = field.metadata.get("help", "")
    assert is_borrowed(field) or (text and "\n" not in text and not text.endswith(".")), text


def loads(node: ast.AST, kind: type) -> list:
    """The names or attributes below `node` that are read, not written."""
    return [each for each in ast.walk(node) if isinstance(each, kind) and isinstance(each.ctx, ast.Load)]


def options_read(tree: ast.AST) -> set[str]:
    """Every NAME that stands as `cfg.NAME` or `self.cfg.NAME` and is read there."""
    return {node.attr for node in loads(tree, ast.Attribute) if ast.unparse(node.value) in ("cfg", "self.cfg")}


def criterion_of(tree: ast.Module, config: str) -> ast.ClassDef:
    """The class that is registered with the dataclass named `config`."""
    decorated = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.decorator_list]
    (criterion,) = (node for node in decorated if f"dataclass={config})" in ast.unparse(node.decorator_list[0]))
    return criterion


def attribute_copies(constructor: ast.FunctionDef):
    """(attribute, value) of every `self.attribute = value`, those of tuples one by one."""
    for node in ast.walk(constructor):
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            for each in zip(target.elts, value.elts, strict=True) if both else [(target, value)]:
                if ast.unparse(each[0]).startswith("self."):
                    yield ast.unparse(each[0]), each[1]


def parameters_read(criterion: ast.ClassDef) -> set[str]:
    """Constructor parameters, which fairseq fills in from the options, that the class makes use of.

    One that is only kept in an attribute counts when that attribute is read.
    """
    constructor = next((each for each in criterion.body if getattr(each, "name", None) == "__init__"), None)
    if constructor is None:
        return set()
    copies = list(attribute_copies(constructor))
    kept = [name for _, value in copies for name in loads(value, ast.Name)]
    attributes = {ast.unparse(node) for node in loads(criterion, ast.Attribute)}
    used = {name.id for name in loads(constructor, ast.Name) if name not in kept}
    used |= {name.id for attribute, value in copies if attribute in attributes for name in loads(value, ast.Name)}
    return used & {argument.arg for argument in constructor.args.args[1:] + constructor.args.kwonlyargs}


def read_by(config: type) -> set[str]:
    """Options that are read where a config's own are: by its criterion, in its task's files, in its room."""
    path = Path(sys.modules[config.__module__].__file__)
    room = path.relative_to(PACKAGE).parts[0]
    if room == "criterions":
        return parameters_read(criterion_of(TREES[path], config.__name__))
    if room == "tasks":  # another job's task may have an option of the same name
        modules = {base.__module__ for base in config.__mro__ if base.__module__.startswith(PACKAGE.name)}
        paths = {Path(sys.modules[module].__file__) for module in modules}
        if issubclass(config, SpeechTaskConfig):  # what all speech tasks share is read by their shared base
            paths.add(Path(sys.modules[SpeechT5Task.__module__].__file__))
    else:
        paths = {other for other in TREES if other.relative_to(PACKAGE).parts[0] == room}
    return set().union(*(options_read(TREES[path]) for path in paths))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_option_is_read(config):
    unread = set(names(config)) - read_by(config)
    assert not unread, f"nothing reads {', '.join(sorted(unread))}"


def test_the_reader_of_options_sees_only_what_is_read():
    tree = ast.parse("""
def build(cfg, other):
    cfg.written = other.elsewhere + self.other.elsewhere
    print(cfg.plain, self.cfg.kept, cfg.outer.inner, getattr(cfg, "spelt"), unread)
""")
    assert options_read(tree) == {"plain", "kept", "outer"}


def test_the_reader_of_criterions_sees_only_what_is_used():
    tree = ast.parse("""
@register_criterion("another", dataclass=AnotherConfig)
class Another:
    def __init__(self, task, unused):
        self.unused = unused

@register_criterion("made_up", dataclass=MadeUpConfig)
class MadeUp:
    def __init__(self, task, ignored, kept, used, first, second, negated, passed, *, checked):
        super().__init__(task, passed)
        if checked:
            raise ValueError
        self.kept = kept
        self.used = used
        self.first, self.second = first, second
        self.on = not negated

    def forward(self, model):
        self.kept = ignored = model.kept
        return model.first + self.used + self.second + self.on
""")
    used = parameters_read(criterion_of(tree, "MadeUpConfig"))
    assert used == {"task", "used", "second", "negated", "passed", "checked"}
    assert parameters_read(criterion_of(tree, "AnotherConfig")) == set()


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
    abstract = {"BadUpdatesConfig", "CodebookConfig", "PicturesConfig", "SpeedConfig"}
    abstract |= {"SpeechTaskConfig", "SpeechTargetTaskConfig"}
    abstract |= {preset.__name__ for preset in PRESETS.values()}
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
        arguments += ["--arch", "speecht5", "--criterion", CRITERION_NAMES.get(task, task)]
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


CRITERIONS = {
    PretrainTaskConfig: PretrainCriterionConfig,
    S2TTaskConfig: S2TCriterionConfig,
    T2STaskConfig: SpeechCriterionConfig,
    S2STaskConfig: SpeechCriterionConfig,
    S2CTaskConfig: S2CCriterionConfig,
}


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
