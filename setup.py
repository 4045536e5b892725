"""Package metadata. `make setup` installs this together with the exact versions of constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def read_version() -> str:
    """The newest version heading of CHANGELOG.md (`## 1.2.3`), its one home; 0.0.0 without one."""
    changelog = HERE / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8") if changelog.exists() else ""
    found = re.search(r"^##\s+\[?v?(\d+\.\d+\.\d+)", text, flags=re.MULTILINE)
    return found.group(1) if found else "0.0.0"


def read_long_description() -> str:
    readme = HERE / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


# fairseq has no release of its own that imports on Python 3.11 and later (a dataclass default that 3.11 refuses).
# ve-fairseq is fairseq's last main branch with that mended; both are imported as `fairseq`.
FAIRSEQ = [
    'fairseq==0.12.2; python_version < "3.11"',
    've-fairseq==0.12.3; python_version >= "3.11"',
]

# What training and generation import.
RUNTIME = [
    "torch>=2.5",
    "torchaudio>=2.5",
    "numpy",
    "sentencepiece",
    "soundfile",
    "editdistance",
    "sacrebleu",
    "tqdm",
    "PyYAML",  # configurations of vocoders in ParallelWaveGAN's layout
    "Jinja2",  # the page of speecht5_fairseq.report; torch needs it too
]

# What manifest_tools imports besides (k-means units).
DATA_PREPARATION = ["joblib", "scikit-learn"]

# manifest_tools --backend dask; Ray (--backend ray) is installed by hand, `pip install "ray[default]"`.
CLUSTER = ["dask[distributed]"]

# speecht5_fairseq.web
WEB = ["starlette", "uvicorn", "python-multipart"]

TEST = ["pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "ruff", "transformers>=4.40", "librosa>=0.10"]
TEST_WEB = ["playwright"]  # drives the Chromium that the system has, and fetches none
BENCH = ["transformers>=4.40", "matplotlib"]
DEMO = ["G722", "num2words"]
# Scores of generated speech (pesq and pyworld are compiled: a C++ compiler; pyworld reads its version with setuptools'
# pkg_resources, which setuptools 82 dropped), pictures of it, and vocoders in safetensors files.
SPEECH = ["pystoi", "pesq", "pyworld", "setuptools<82", "pocketsphinx", "matplotlib", "num2words", "safetensors"]
# --picture-interval: what a training shows in TensorBoard (fairseq asks for tensorboard before tensorboardX).
PICTURES = ["tensorboard", "matplotlib"]
# speecht5_fairseq.convert --to hf and back.
CONVERT = ["safetensors"]
# manifest_tools.speaker_vectors --extractor resemblyzer. Its webrtcvad is compiled: a C compiler and Python's headers.
SPEAKERS = ["resemblyzer"]

setup(
    name="speecht5_fairseq",
    version=read_version(),
    description="SpeechT5 pre-training, fine-tuning and generation as a fairseq user directory",
    long_description=read_long_description(),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["speecht5_fairseq", "speecht5_fairseq.*", "manifest_tools", "manifest_tools.*"]),
    package_data={"speecht5_fairseq.report": ["*.j2"], "speecht5_fairseq.web": ["page/*"]},
    entry_points={"console_scripts": ["speecht5 = speecht5_fairseq.interface.command:main"]},
    install_requires=FAIRSEQ + RUNTIME + DATA_PREPARATION,
    extras_require={
        "test": TEST + SPEECH + PICTURES + CLUSTER + WEB + TEST_WEB,
        "bench": BENCH,
        "demo": DEMO + SPEECH,
        "speech": SPEECH,
        "pictures": PICTURES,
        "convert": CONVERT,
        "speakers": SPEAKERS,
        "cluster": CLUSTER,
        "web": WEB,
    },
)
