"""Joint samples of speech and text: a step takes their parts in turn."""

from collections.abc import Sequence


def split_parts(sample: dict) -> Sequence[dict]:
    """A joint sample as one sample for each modality; any other sample as it is."""
    kinds = [kind for kind in ("speech", "text") if kind in sample]
    if not kinds:
        return [sample]
    return [{kind: sample[kind], "nsentences": sample[kind]["nsentences"]} for kind in kinds]


def merge_logs(logs: Sequence[dict]) -> dict:
    """Logging outputs of the parts as one, name by name added."""
    merged = dict(logs[0])
    for log in logs[1:]:
        for key, value in log.items():
            merged[key] = merged.get(key, 0) + value
    return merged
