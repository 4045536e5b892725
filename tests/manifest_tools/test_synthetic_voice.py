"""Texts spoken by a program: a stand-in for flite and espeak-ng, found on PATH or in packages made here."""

import os
import sys
from pathlib import Path

import pytest
from helpers import write_lines, write_speech

from manifest_tools import debian, speech_engines
from manifest_tools.speech_engines import find_speaker
from manifest_tools.synthetic_voice import main, speak_texts
from speecht5_fairseq.data.audio import read_audio
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest, write_manifest

# Speaks a tone as long as the text, at flite's and espeak-ng's rates; refuses what they refuse, each in its own way
PROGRAM = f"""#!{sys.executable}
import os, sys, wave
arguments = sys.argv[1:]
options = dict(zip(arguments[::2], arguments[1::2]))
if "-lv" in arguments:
    sys.exit(print("Voices available: kal slt "))
if options.get("-v", "en") not in ("en", "fr+f3", "en-us"):
    sys.exit("Error: The specified espeak-ng voice does not exist.")
text = open(options["-f"], encoding="utf-8").read().strip()
with open(os.environ.get("SPOKEN", os.devnull), "a") as file:
    file.write(text + "\\n")
with wave.open(options.get("-o") or options["-w"], "wb") as file:
    file.setparams((1, 2, 16000 if "-o" in options else 22050, 0, "NONE", ""))
    file.writeframes((b"\\x00\\x00" if text == "hush" else b"\\x00\\x10\\x00\\xf0") * 2000 * len(text))
"""


def install(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(PROGRAM)
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def programs(tmp_path, monkeypatch):
    folder = install(tmp_path / "bin", "flite", "espeak-ng")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setenv("SPOKEN", str(tmp_path / "spoken"))
    return folder


@pytest.fixture
def corpus(tmp_path):
    rows = write_speech(tmp_path / "corpus/wav/en", 2)
    write_manifest(tmp_path / "corpus/train.tsv", "wav", [("en/0.wav", 5000), ("en/b.flac", 5000)])
    write_lines(tmp_path / "corpus/train.txt", ["one", "three"])
    assert len(rows) == 2
    return tmp_path / "corpus"


@pytest.mark.parametrize(("engine", "voice"), [("flite", "slt"), ("espeak-ng", "fr+f3")])
def test_the_rows_keep_their_names(programs, corpus, tmp_path, engine, voice):
    sizes = speak_texts(tmp_path / "out", manifests=[corpus / "train.tsv"], engine=engine, voice=voice)
    manifest = Manifest.open(tmp_path / "out/train.tsv", JOB_COLUMNS["s2t"])
    assert [manifest.row(index)["path"] for index in range(2)] == ["en/0.wav", "en/b.flac.wav"]
    assert [len(read_audio(manifest.path(index), resample=False)) for index in range(2)] == manifest.samples.tolist()
    assert manifest.samples[1] > manifest.samples[0] and sizes[0].rows == 2
    assert (tmp_path / "out/train.txt").read_text() == "one\nthree\n"


def test_only_what_is_missing_or_changed_is_spoken(programs, corpus, tmp_path):
    speak_texts(tmp_path / "out", manifests=[corpus / "train.tsv"])
    write_lines(corpus / "train.txt", ["one", "four"])
    (tmp_path / "spoken").unlink()
    speak_texts(tmp_path / "out", manifests=[corpus / "train.tsv"])
    assert (tmp_path / "spoken").read_text().split() == [speech_engines.CHECK_TEXT, "four"]
    with pytest.raises(ValueError, match="--engine flite --voice slt spoke there; choose another --out"):
        speak_texts(tmp_path / "out", manifests=[corpus / "train.tsv"], voice="kal")


def test_texts_without_a_manifest_get_names_of_their_own(programs, tmp_path):
    for name, lines in (("train", ["one", "three"]), ("valid", ["four"])):
        write_lines(tmp_path / f"{name}.txt", lines)
    texts = [tmp_path / "train.txt", tmp_path / "valid.txt"]
    sizes = speak_texts(tmp_path / "out", texts=texts)
    train, valid = (Manifest.open(tmp_path / f"out/{name}.tsv", JOB_COLUMNS["s2t"]) for name in ("train", "valid"))
    assert [train.row(index)["path"] for index in range(2)] == ["slt/train-00001.wav", "slt/train-00002.wav"]
    assert valid.row(0)["path"] == "slt/valid-00001.wav" and [size.rows for size in sizes] == [2, 1]
    assert (tmp_path / "out/train.txt").read_text() == "one\nthree\n"
    (tmp_path / "spoken").unlink()
    write_lines(tmp_path / "train.txt", ["one", "five"])
    speak_texts(tmp_path / "out", texts=texts)
    assert (tmp_path / "spoken").read_text().split() == [speech_engines.CHECK_TEXT, "five"]
    write_lines(tmp_path / "train.txt", ["one", " "])
    for given, error, message in (
        (texts, ValueError, "train.txt:2: no text; write it, or delete the line"),
        (
            [tmp_path / "no.txt"],
            FileNotFoundError,
            "--texts .*no.txt: no such file; give a file with a sentence a line",
        ),
        ([texts[0], tmp_path / "a/train.txt"], ValueError, "two of --texts have one name: give them an --out each"),
        ([], ValueError, "nothing to speak: give --manifest, --texts, or both"),
    ):
        with pytest.raises(error, match=message):
            speak_texts(tmp_path / "out", texts=given)


def test_mistakes_are_named(programs, corpus, tmp_path):
    with pytest.raises(ValueError, match="--voice 'nobody': flite has kal, slt; choose one"):
        find_speaker("flite", "nobody", tmp_path)
    with pytest.raises(
        RuntimeError, match="--voice xx: .*does not exist.; choose a Language that `espeak-ng --voices`"
    ):
        find_speaker("espeak-ng", "xx", tmp_path)
    with pytest.raises(ValueError, match="--engine 'festival': choose one of flite, espeak-ng"):
        find_speaker("festival", None, tmp_path)
    for lines, message in (
        (["one", "hush"], "train.txt:2: flite says nothing for 'hush'; write the text in another way"),
        (["one", ""], "train.txt:2: no text; write it, or delete it and line 3"),
        (["one"], "train.txt has 1 lines, .*train.tsv 2 rows"),
    ):
        write_lines(corpus / "train.txt", lines)
        with pytest.raises(ValueError, match=message):
            speak_texts(tmp_path / "out", manifests=[corpus / "train.tsv"])
    with pytest.raises(ValueError, match="--texts names 1 files for 2 manifests"):
        speak_texts(tmp_path / "out", manifests=[corpus / "train.tsv", corpus / "b.tsv"], texts=[corpus / "train.txt"])


def shell(path, *lines):
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """apt-get and dpkg-deb that know one package, which holds the program, a library and espeak-ng's data."""
    package = tmp_path / "package"
    install(package / "usr/bin", "espeak-ng")
    for name in ("usr/lib/machine/libx.so.1", "usr/lib/machine/espeak-ng-data/phontab"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).touch()
    folder = tmp_path / "apt"
    folder.mkdir()
    simulate = (
        'if [ "$1" = --simulate ]; then echo "Inst libx (1)"; echo "Inst espeak-ng (1)"; echo "Conf libx (1)"; fi'
    )
    shell(folder / "apt-get", simulate, f'if [ "$1" = download ]; then echo "$@" > {tmp_path}/asked; touch a.deb; fi')
    shell(folder / "dpkg-deb", f'test -f "$2" && cp -r {package}/. "$3"')
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    found = {name: str(folder / name) for name in ("apt-get", "dpkg-deb")}
    monkeypatch.setattr(speech_engines.shutil, "which", found.get)
    return folder


def test_a_program_that_is_not_installed_is_unpacked_from_packages(apt, tmp_path):
    speaker = find_speaker("espeak-ng", "fr+f3", tmp_path / "cache")
    assert (tmp_path / "asked").read_text().split() == ["download", "libx", "espeak-ng"]
    root = tmp_path / "cache/debian-espeak-ng"
    assert speaker.program == str(root / "usr/bin/espeak-ng")
    assert speaker.environment["ESPEAK_DATA_PATH"] == str(root / "usr/lib/machine")
    assert speaker.environment["LD_LIBRARY_PATH"].split(os.pathsep)[0] == str(root / "usr/lib/machine")
    (tmp_path / "asked").unlink()
    find_speaker("espeak-ng", None, tmp_path / "cache")
    assert not (tmp_path / "asked").exists()  # unpacked once


def test_without_a_package_the_mend_is_an_installation(apt, tmp_path):
    shell(apt / "apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
    with pytest.raises(
        RuntimeError, match="Unable to locate package; refresh .*or install it .`apt-get install espeak-ng`"
    ):
        find_speaker("espeak-ng", None, tmp_path / "cache")


def test_without_debian_the_mend_is_an_installation(tmp_path, monkeypatch):
    monkeypatch.setattr(debian.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="apt-get is not on PATH .*; install it .`apt-get install flite` as root"):
        find_speaker("flite", None, tmp_path)


def test_the_command_line(programs, corpus, tmp_path, capsys):
    main(["--manifest", str(corpus / "train.tsv"), "--out", str(tmp_path / "out"), "--jobs", "1"])
    assert "train" in capsys.readouterr().out and Path(tmp_path / "out/wav/en/0.wav").is_file()
