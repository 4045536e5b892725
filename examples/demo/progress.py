"""Training log in, one short line for every progress report out; the argument names the run."""

import re
import sys

SHOWN = ("loss", "unit_accuracy", "infilling_accuracy", "codes_shared", "ctc_loss", "accuracy", "uer", "wer", "wall")
REPORT = re.compile(r"\| (?P<kind>train_inner|valid) \|")
VALUE = re.compile(r"(\w+)[= ]([\d.e+-]+)(?=[,| ]|$)")

for line in sys.stdin:
    report = REPORT.search(line)
    if report is None:
        continue
    values = dict(VALUE.findall(line[report.end() :]))
    kind = "valid" if report["kind"] == "valid" else "train"
    numbers = "  ".join(f"{name} {values[name]}" for name in SHOWN if name in values)
    print(f"  {sys.argv[1]:10}{kind} update {values.get('num_updates', '?'):>5}  {numbers}", flush=True)
