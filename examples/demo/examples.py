"""The log of fairseq-generate in, some of its sentences out: what was said beside what was recognised."""

import sys
from pathlib import Path

SHOWN = 6

lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
said = {line.split("\t")[0][2:]: line.split("\t")[1] for line in lines if line.startswith("T-")}
heard = {line.split("\t")[0][2:]: line.split("\t")[2] for line in lines if line.startswith("D-")}
by_length = sorted(said, key=lambda name: len(said[name]))
for name in by_length[:: max(1, len(by_length) // SHOWN)][:SHOWN]:
    print(f"  T {said[name]}\n  D {heard.get(name, '')}")
