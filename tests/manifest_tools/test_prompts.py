"""The recorded prompts, from a miniature of the packages made here."""

import gzip
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from manifest_tools import prompts, prompts_sources
from manifest_tools.prompts import Prompt, assign_splits, prepare_prompts, split_of, spoken_text
from manifest_tools.prompts_corrections import TEXTS, WORDS
from speecht5_fairseq.data.manifest import JOB_COLUMNS, Manifest

G722 = pytest.importorskip("G722")
pytest.importorskip("num2words")

TRANSCRIPTS = {
    "en": {
        "hello": "Hello.",
        "hello-again": "Hello",
        "menu": "Press 1, or * (a tone plays)",
        "letters/at": "at [@]",
        "beep": "[a tone]",
        "silence/1": "(one second of silence)",
        "spy-iax": "IAX",
        "bye": "Goodbye!",
        "long": "A long story",
    },
    "es": {"hello": "Hola", "menu": "Marque 1 o *", "bye": "hasta manana", "digits/0": "diez", "long": "Un cuento"},
}


def encoded(seconds, seed=0):
    time = np.arange(int(16000 * seconds)) / 16000
    wave = 9000 * np.sin(2 * np.pi * (300 + 50 * seed) * time)
    return bytes(G722.G722(16000, 64000).encode(wave.astype(np.int16)))


@pytest.fixture
def folder(tmp_path):
    """An unpacked pair of packages for en and es, laid out as Debian does."""
    root = tmp_path / "unpacked"
    for language, texts in TRANSCRIPTS.items():
        document = root / f"usr/share/doc/sounds-{language}/core-sounds-{language}.txt.gz"
        document.parent.mkdir(parents=True)
        with gzip.open(document, "wt", encoding="utf-8") as file:
            file.write("; a comment\n\n" + "".join(f"{name}: {text}\n" for name, text in texts.items()))
        for number, name in enumerate([*texts, "unnamed"]):
            sound = root / f"usr/share/asterisk/sounds/{language}_XX_f_Nobody/{name}.g722"
            sound.parent.mkdir(parents=True, exist_ok=True)
            sound.write_bytes(encoded(2.0 if name == "long" else 0.1 + 0.01 * number, number))
    return root


@pytest.fixture
def held_out(tmp_path):
    path = tmp_path / "held_out.tsv"
    path.write_text("hello\ttest\nbye\tvalid\n")
    return path


def rows(path):
    manifest = Manifest.open(path, JOB_COLUMNS["s2t"])
    return [(manifest.row(i)["path"], manifest.row(i)["samples"]) for i in range(len(manifest))]


def test_prepared_from_a_folder(folder, held_out, tmp_path):
    out = tmp_path / "out"
    sizes = prepare_prompts(out, ["en", "es"], source=str(folder), held_out=held_out, max_seconds=1.0)
    assert {size.split: size.rows for size in sizes} == {
        "en/train": 2, "en/valid": 1, "en/test": 1, "es/train": 2, "es/valid": 1, "es/test": 1,
    }  # fmt: skip
    assert (out / "en/train.txt").read_text() == "at\npress one or star\n"
    assert (out / "en/test.txt").read_text() == "hello\n"
    assert (out / "es/valid.txt").read_text() == "hasta mañana\n"
    assert (out / "es/train.txt").read_text() == "cero\nmarque uno o asterisco\n"
    reasons = dict(line.split("\t") for line in (out / "en/left_out/all.tsv").read_text().splitlines())
    assert reasons == {
        "beep": "no speech",
        "hello-again": "of train: the same text is in test",
        "long": "2.0 s, more than 1 s",
        "silence/1": "no speech",
        "spy-iax": "what is said is not what is written",
        "unnamed": "no transcript",
    }
    assert "CC" not in reasons and "Attribution-ShareAlike 3.0" in (out / "ATTRIBUTION.txt").read_text()
    for path, samples in rows(out / "en/train.tsv"):
        info = soundfile.info(out / "wav" / path)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (16000, 1, samples, "PCM_16")
    assert Manifest.open(out / "en/train.tsv", JOB_COLUMNS["s2t"]).path(0).is_file()
    held_out.write_text("hello\ttest\n")
    with pytest.raises(ValueError, match="en/valid.tsv: this run made no valid, and 1 of the 1 .* are in train.tsv"):
        prepare_prompts(out, ["en", "es"], source=str(folder), held_out=held_out, max_seconds=1.0)


def test_again_does_only_what_is_missing(folder, held_out, tmp_path, monkeypatch):
    out = tmp_path / "out"
    options = {"source": str(folder), "held_out": held_out, "max_seconds": 1.0}
    prepare_prompts(out, ["en"], **options)
    manifest = out / "en/train.tsv"
    manifest.write_text(manifest.read_text().replace("\n", "\tvector.npy\n").replace("../wav\tvector.npy", "../wav"))
    (out / "wav/en/hello.wav").unlink()
    (out / "wav/en/bye.wav").write_bytes(b"half a file")
    decoded = []
    real = prompts.decode_g722
    monkeypatch.setattr(prompts, "decode_g722", lambda data: decoded.append(len(data)) or real(data))
    prepare_prompts(out, ["en"], **options)
    assert len(decoded) == 2
    assert "vector.npy" in manifest.read_text()  # what another tool added is kept


def test_g722_round_trip():
    time = np.arange(16000) / 16000
    wave = 0.25 * np.sin(2 * np.pi * 440 * time)
    data = bytes(G722.G722(16000, 64000).encode((32768 * wave).astype(np.int16)))
    decoded = prompts_sources.decode_g722(data)
    assert decoded.dtype == np.float32 and len(decoded) == 2 * len(data) == len(wave)
    delay = 22  # samples, of the codec's two filters
    error = decoded[500 + delay : 15000 + delay] - wave[500:15000]
    assert 10 * np.log10(np.mean(wave**2) / np.mean(error**2)) > 40


def test_split_depends_on_the_name_alone():
    names = [f"name-{number}" for number in range(4000)] + [f"digits/{number}" for number in range(4000)]
    splits = [split_of(name) for name in names]
    assert [split_of(name) for name in reversed(names)] == splits[::-1]
    for part, (valid, test) in ((splits[:4000], (0.09, 0.14)), (splits[4000:], (0.04, 0.06))):
        assert abs(part.count("valid") / 4000 - valid) < 0.02
        assert abs(part.count("test") / 4000 - test) < 0.02
    assert [split_of(name) for name in ("vm-goodbye", "conf-usermenu", "digits/h-9")] == ["train", "train", "test"]


def test_no_held_out_text_is_trained_on():
    names = [f"name-{number}" for number in range(300)]
    given = {
        "en": [Prompt(name, f"text {number % 97}", 1000) for number, name in enumerate(names)],
        "fr": [Prompt(name, f"text {number % 89}", 1000) for number, name in enumerate(names)],
    }
    splits, left_out = assign_splits(given)
    train = {prompt.text for language in splits.values() for prompt in language["train"]}
    valid = {prompt.text for language in splits.values() for prompt in language["valid"]}
    test = {prompt.text for language in splits.values() for prompt in language["test"]}
    assert train and valid and test
    assert not train & valid and not train & test and not valid & test
    for language, kept in splits.items():
        assert sum(map(len, kept.values())) + len(left_out[language]) == len(names)
    where = {language: {p.name: split for split, ps in kept.items() for p in ps} for language, kept in splits.items()}
    assert all(where["en"][name] == where["fr"][name] for name in where["en"].keys() & where["fr"].keys())


def test_corrections_are_spoken_text_already():
    for language, words in WORDS.items():
        for right in words.values():
            assert spoken_text(right, language) == right
    for language, texts in TEXTS.items():
        for name, correction in texts.items():
            assert correction is None or spoken_text(correction, language), name
    assert spoken_text("Ese numero no es valido. No se quien es", "es") == "ese número no es válido no sé quién es"


def test_archive(folder, tmp_path, held_out, capsys):
    archives = tmp_path / "archives"
    archives.mkdir()
    sounds = next(folder.glob("usr/share/asterisk/sounds/en_*"))
    document = sounds / "core-sounds-en.txt"
    document.write_bytes(gzip.decompress(next(folder.rglob("core-sounds-en.txt.gz")).read_bytes()))
    with tarfile.open(archives / "asterisk-core-sounds-en-g722-current.tar.gz", "w:gz") as tar:
        for path in sounds.rglob("*.*"):
            tar.add(path, path.relative_to(sounds))
    options = {"source": "archive", "archive_url": archives.as_uri(), "held_out": held_out, "max_seconds": 1.0}
    sizes = prepare_prompts(tmp_path / "out", ["en"], **options)
    assert [size.rows for size in sizes] == [2, 1, 1]
    assert "download en: 100%" in capsys.readouterr().err
    shutil.rmtree(archives)  # the second time nothing is fetched
    assert prepare_prompts(tmp_path / "out", ["en"], **options) == sizes


def test_sources_that_fail_tell_the_mend(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="apt-get is not on PATH.*--source archive"):
        prompts_sources.fetch("apt", "en", tmp_path)
    with pytest.raises(RuntimeError, match="cannot read file:.*--archive-url"):
        prompts_sources.fetch("archive", "en", tmp_path, (tmp_path / "nothing").as_uri())
    with pytest.raises(RuntimeError, match=r"no source of prompts works(.|\n)*apt-get(.|\n)*archive"):
        prompts_sources.fetch("auto", "en", tmp_path, (tmp_path / "nothing").as_uri())
    with pytest.raises(FileNotFoundError, match="no such folder; choose auto, apt, archive"):
        prompts_sources.fetch(str(tmp_path / "absent"), "en", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no core-sounds-en.txt"):
        prompts_sources.fetch(str(tmp_path / "empty"), "en", tmp_path)
    assert not list(tmp_path.glob(".*.part"))


def test_apt_failure_names_apt_get_update(tmp_path, monkeypatch):
    for name in ("apt-get", "dpkg-deb"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(RuntimeError, match="Unable to locate package; refresh the package lists .`apt-get update`"):
        prompts_sources.fetch_with_apt("en", tmp_path)
    assert not (tmp_path / "debian-en").exists()


def test_apt_packages_are_unpacked_below_a_relative_folder(folder, tmp_path, monkeypatch):
    """apt-get writes into its working folder; dpkg-deb stands in for itself by copying."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, line in (("apt-get", "touch one.deb"), ("dpkg-deb", f'test -f "$2" && cp -r {folder}/. "$3"')):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/bin")
    monkeypatch.chdir(tmp_path)
    Path("cache").mkdir()
    files = prompts_sources.fetch_with_apt("en", Path("cache"))
    assert files.transcripts.is_file() and (tmp_path / "cache" / "debian-en").is_dir()


def test_bad_transcripts_name_the_line(folder, tmp_path):
    path = tmp_path / "core-sounds-en.txt"
    path.write_text("hello: Hello\nno colon here\n")
    with pytest.raises(ValueError, match=r"core-sounds-en.txt:2: 'no colon here'"):
        prompts_sources.read_transcripts(path)
    path.write_text("hello: Hello\nhello: Good day\n")
    files = prompts_sources.PromptFiles(next(folder.glob("usr/share/asterisk/sounds/en_*")), path)
    with pytest.raises(ValueError, match="'hello' has 2 transcripts"):
        prompts.select_prompts(files, "en", 10.0)


def test_bad_held_out_file_names_the_line(tmp_path):
    path = tmp_path / "held_out.tsv"
    path.write_text("hello\ttest\nbye train\n")
    with pytest.raises(ValueError, match="held_out.tsv:2"):
        prompts.read_held_out(path)
