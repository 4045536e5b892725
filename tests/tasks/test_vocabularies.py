"""Where symbols come from: files, else the checkpoint to decode with; and what a training must agree in."""

import os

import pytest
from checkpoints import bad_checkpoints, tiny_checkpoint
from helpers import (
    CLASSES,
    NEW_RUN,
    UNITS,
    model_options,
    tiny_dictionary,
    tiny_manifest,
    tiny_piece_model,
    write_lines,
)

from speecht5_fairseq.data.errors import DataError
from speecht5_fairseq.data.piece_model import PieceModel
from speecht5_fairseq.models.checkpoint import Start
from speecht5_fairseq.models.contents import read_contents
from speecht5_fairseq.models.errors import CheckpointError
from speecht5_fairseq.tasks.pretrain import PretrainTask, PretrainTaskConfig
from speecht5_fairseq.tasks.s2c import S2CTask, S2CTaskConfig
from speecht5_fairseq.tasks.s2t import S2TTask, S2TTaskConfig
from speecht5_fairseq.tasks.t2s import T2STask, T2STaskConfig
from speecht5_fairseq.tasks.vocabularies import check_start, decoding_contents, find_pieces

UNIT_NAMES = [str(unit) for unit in range(UNITS)]
TASKS = {
    "s2t": (S2TTask, S2TTaskConfig),
    "t2s": (T2STask, T2STaskConfig),
    "s2c": (S2CTask, S2CTaskConfig),
    "pretrain": (PretrainTask, PretrainTaskConfig),
}


def setup(job, folder, path, **options):
    task, config = TASKS[job]
    given = {**NEW_RUN, "data": str(folder), "path": path and str(path), "seed": 1, "train_subset": "train", **options}
    if job == "s2t":
        given = {"lm_path": None, **given}
    if job in ("t2s", "s2c"):
        given |= {"results_path": None, "gen_subset": "test"}
    return task.setup_task(config(**given))


@pytest.fixture(scope="module")
def spm_models(tmp_path_factory):
    """Two models of other content."""
    folder = tmp_path_factory.mktemp("spm")
    return tiny_piece_model(folder / "one.model"), tiny_piece_model(folder / "two.model", "ÄÖ")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, spm_models):
    """Job -> checkpoint; those of text were trained on raw text."""
    folder = tmp_path_factory.mktemp("trained")
    texts = {job: tiny_checkpoint(folder / f"{job}.pt", job, spm_model=spm_models[0]) for job in ("s2t", "t2s")}
    units = tiny_checkpoint(folder / "pretrain.pt", "pretrain", units=UNIT_NAMES)
    return {**texts, "s2c": tiny_checkpoint(folder / "s2c.pt", "s2c"), "pretrain": units}


@pytest.mark.parametrize("job", ["s2t", "t2s"])
def test_an_empty_folder_decodes_with_the_checkpoint_s_symbols(job, trained, tmp_path, caplog):
    with caplog.at_level("INFO"):
        task = setup(job, tmp_path, trained[job])
        assert task.pieces == PieceModel(trained[job], read_contents(trained[job]).pieces.content)
    found, expected = task.text_dictionary, tiny_dictionary()
    assert found.symbols == expected.symbols and found.indices == expected.indices and len(found) == len(expected)
    assert (found.pad(), found.eos(), found.unk()) == (expected.pad(), expected.eos(), expected.unk())
    assert caplog.messages == [
        f"no {tmp_path}/dict.txt: the 34 symbols are those of {trained[job]}",
        f"the sentencepiece model is that in {task.pieces}; --spm-model none says that the labels are pieces",
    ]
    assert task.dictionary_files.text == trained[job]


def test_classes_and_units_come_from_the_checkpoint_too(trained, tmp_path, caplog):
    task = setup("s2c", tmp_path, trained["s2c"])
    assert task.classes == list(CLASSES) and task.dictionary_files.classes == trained["s2c"] and task.pieces is None
    task = setup("pretrain", tmp_path, trained["pretrain"], text_data=str(tmp_path))
    assert task.unit_symbols == UNIT_NAMES and task.units == UNITS
    assert task.dictionary_files.units == task.dictionary_files.text == trained["pretrain"]


def test_the_units_of_the_checkpoint_read_labels(trained, tmp_path):
    tiny_manifest(tmp_path, 2, job="pretrain")
    read = []
    for path in (None, trained["pretrain"]):
        task = setup("pretrain", tmp_path, path)
        task.load_dataset("train")
        read.append(task.datasets["train"].speech.labels)
        (tmp_path / "dict.km.txt").unlink(missing_ok=True)
    assert read[1].files[-1] == trained["pretrain"] != read[0].files[-1]
    assert all((read[0].classes(row) == read[1].classes(row)).all() for row in range(2))


def test_files_that_are_there_are_read(trained, tmp_path):
    write_lines(tmp_path / "dict.txt", ["B 2", "A 1"])
    assert setup("s2t", tmp_path, trained["s2t"]).text_dictionary.symbols[4:6] == ["B", "A"]
    labels = tmp_path / "labels"
    labels.mkdir()
    write_lines(labels / "dict.txt", ["C 2", "A 1"])
    task = setup("s2t", tmp_path, trained["s2t"], label_dir=str(labels))
    assert task.text_dictionary.symbols[4] == "C" and task.dictionary_files.text == labels / "dict.txt"
    assert setup("s2c", tmp_path, trained["s2c"]).classes == ["B", "A"]


def test_training_takes_nothing_from_a_checkpoint_but_its_weights(trained, tmp_path):
    with pytest.raises(DataError, match="dict.txt: no such dictionary; make it with"):
        setup("s2t", tmp_path, None, finetune_from_model=str(trained["s2t"]))


def test_what_neither_has_is_named(trained, tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}/dict.txt: no such dictionary, and {trained['s2c']} holds no symb"):
        setup("s2t", tmp_path, trained["s2c"])
    with pytest.raises(DataError, match=f"{tmp_path}/dict.km.txt: no such dictionary, and {trained['s2t']} holds no u"):
        setup("pretrain", tmp_path, trained["s2t"])


def test_the_first_of_several_checkpoints_tells_and_all_are_read(trained, tmp_path):
    both = os.pathsep.join(map(str, (trained["s2c"], trained["s2t"])))
    assert decoding_contents(both).path == trained["s2c"]
    assert decoding_contents(None) is None
    with pytest.raises(CheckpointError, match="gone.pt: no such checkpoint"):
        decoding_contents(f"{trained['s2t']}{os.pathsep}{tmp_path}/gone.pt")


@pytest.mark.parametrize("kind", ["cut off", "text", "command", "other model", "other signal", "rows"])
@pytest.mark.parametrize("command", ["train", "generate"])
def test_a_bad_file_is_refused_before_fairseq_reads_it(kind, command, tmp_path):
    tiny_manifest(tmp_path)
    path, said = bad_checkpoints(tmp_path)[kind]
    with pytest.raises(CheckpointError, match=f"^{path}: {said}"):
        if command == "generate":
            setup("s2t", tmp_path, path)
        else:
            setup("s2t", tmp_path, None, finetune_from_model=str(path)).build_model(model_options())
    assert not (tmp_path / "intruded").exists()


def test_the_given_sentencepiece_model_is_used_and_another_content_warned_of(trained, spm_models, tmp_path, caplog):
    contents = read_contents(trained["s2t"])
    one, two = spm_models
    copy = tmp_path / "copy.model"
    copy.write_bytes(one.read_bytes())
    assert find_pieces(str(copy), contents, own_options=False).file == copy and not caplog.messages
    assert find_pieces(str(two), contents, own_options=False).content == two.read_bytes()
    (warning,) = caplog.messages
    assert warning.startswith(f"--spm-model {two} (")
    assert f"{trained['s2t']} (" in warning and "drop --spm-model to use the checkpoint's" in warning


def test_pieces_are_pieces_where_that_is_said_or_no_model_was_there(trained, tmp_path):
    contents = read_contents(trained["s2t"])
    assert find_pieces("none", contents, own_options=False) is None
    assert find_pieces(None, contents._replace(pieces=None), own_options=False) is None
    assert find_pieces(None, None, own_options=False) is None


def test_a_file_of_the_trainer_may_be_gone_one_of_the_user_not(trained, spm_models, tmp_path):
    contents, gone = read_contents(trained["s2t"]), str(tmp_path / "gone.model")
    assert find_pieces(gone, contents, own_options=True) == contents.pieces
    assert find_pieces(str(spm_models[1]), contents, own_options=True).file == spm_models[1]
    for given, own in ((contents, False), (contents._replace(pieces=None), True)):
        with pytest.raises(DataError, match="gone.model: no sentencepiece model; make it"):
            find_pieces(gone, given, own_options=own)


def test_raw_text_is_cut_by_the_checkpoint_s_model(trained, tmp_path):
    tiny_manifest(tmp_path, 2, split="test")
    write_lines(tmp_path / "test.txt", ["AB C", "CAB"])
    task = setup("s2t", tmp_path, trained["s2t"])
    task.from_checkpoint = True
    task.load_dataset("test")
    labels = task.datasets["test"].labels
    assert labels.pieces(0) == ["▁", "A", "B", "▁", "C"] and labels.files[-1] == trained["s2t"]
    write_lines(tmp_path / "test.txt", ["▁ A B", "▁ C"])
    task = setup("s2t", tmp_path, trained["s2t"], spm_model="none")
    task.load_dataset("test")
    assert task.datasets["test"].labels.pieces(0) == ["▁", "A", "B"]


def test_a_run_saves_what_it_reads(trained, spm_models, tmp_path):
    tiny_manifest(tmp_path)
    state = setup("s2t", tmp_path, None, spm_model=str(spm_models[0])).state_dict()
    assert bytes(state["sentencepiece"]["model"].tolist()) == spm_models[0].read_bytes()
    assert state["sentencepiece"]["file"] == str(spm_models[0]) and state["signal"]["MEL_HOP"] == 256
    assert set(setup("s2t", tmp_path, None).state_dict()) == {"signal"}
    tiny_manifest(tmp_path, job="pretrain")
    assert setup("pretrain", tmp_path, None).state_dict()["units"] == UNIT_NAMES


def test_a_state_of_another_signal_is_refused_by_the_task_too(trained, tmp_path):
    """fairseq hands it over when a program loads a checkpoint without its path."""
    task = setup("s2t", tmp_path, trained["s2t"])
    with pytest.raises(CheckpointError, match="trained with another signal .MEL_HOP 200, here 256"):
        task.load_state_dict({"signal": {"MEL_HOP": 200}})


def test_a_run_goes_on_with_its_own_sentencepiece_model(trained, spm_models, tmp_path, caplog):
    contents = read_contents(trained["s2t"])
    one, two = (PieceModel(file, file.read_bytes()) for file in spm_models)
    rest = {"units": [], "units_file": "dict.km.txt"}
    check_start(contents, None, pieces=one, **rest)
    assert not caplog.messages
    with pytest.raises(CheckpointError) as error:
        check_start(contents, None, pieces=two, **rest)
    assert str(error.value).startswith(
        f"--spm-model {two} is another model than {contents.pieces}, with which this run"
    )
    assert f"inspect {trained['s2t']} --extract FOLDER` writes it" in str(error.value)
    check_start(contents, Start(), pieces=two, **rest)
    assert f"with which the checkpoint {trained['s2t']} was trained" in caplog.messages[-1]
    check_start(contents, None, pieces=None, **rest)
    expected = "this run reads pieces, and the run of the checkpoint {} read raw text with a sentencepiece model"
    assert caplog.messages[-1].startswith(expected.format(trained["s2t"]))
    check_start(contents._replace(pieces=None), None, pieces=one, **rest)
    assert caplog.messages[-1].startswith("this run reads raw text with a sentencepiece model, and the run of")
    assert len(caplog.messages) == 3
    check_start(contents._replace(pieces=None, signal={}), None, pieces=one, **rest)  # of before: it cannot tell
    check_start(contents, Start(), pieces=None, **rest)
    assert len(caplog.messages) == 3


def test_units_in_another_order_are_refused(trained):
    contents = read_contents(trained["pretrain"])
    other = [UNIT_NAMES[1], UNIT_NAMES[0], *UNIT_NAMES[2:]]
    rest = {"pieces": None, "units_file": "data/dict.km.txt"}
    check_start(contents, None, units=UNIT_NAMES, **rest)
    for start in (None, Start(), Start("encoder unit_head")):
        message = "^data/dict.km.txt: the units are not those of the checkpoint .*20 here, 20 there"
        with pytest.raises(CheckpointError, match=message):
            check_start(contents, start, units=other, **rest)
    check_start(contents, Start("encoder"), units=other, **rest)
    check_start(contents, Start(new_nets="unit_head"), units=other, **rest)
    check_start(contents._replace(units=[]), None, units=other, **rest)
    check_start(contents, None, units=[], **rest)


def test_a_resumed_training_is_checked(trained, spm_models, tmp_path):
    tiny_manifest(tmp_path)
    (tmp_path / "checkpoint_last.pt").write_bytes(trained["s2t"].read_bytes())
    options = {"save_dir": str(tmp_path), "spm_model": str(spm_models[1])}
    with pytest.raises(CheckpointError, match="another model than .*checkpoint_last.pt .*, with which this run began"):
        setup("s2t", tmp_path, None, **options).build_model(model_options())
    setup("s2t", tmp_path, None, **options | {"spm_model": str(spm_models[0])}).build_model(model_options())


def test_a_run_does_not_go_on_with_nets_that_its_checkpoint_lacks(trained, tmp_path):
    tiny_manifest(tmp_path)
    checkpoint = tiny_checkpoint(tmp_path / "checkpoint_last.pt", "s2t", no_ctc_head=True)
    task = setup("s2t", tmp_path, None, save_dir=str(tmp_path))
    with pytest.raises(CheckpointError, match=f"the checkpoint {checkpoint} has no ctc_head, which this job needs"):
        task.build_model(model_options())
