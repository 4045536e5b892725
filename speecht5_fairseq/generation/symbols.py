"""Which entries of a text dictionary a decoder may and may not produce."""

from typing import NamedTuple

from fairseq.data import Dictionary

from ..constants import CTC_BLANK_SYMBOL, MASK_SYMBOL


class TextSymbols(NamedTuple):
    """Indices that decoding needs, read once: fairseq-generate adds words to the dictionary while it runs."""

    size: int  # entries of the dictionary, V
    pad: int
    eos: int  # also the first input of the decoder and of the language model
    unk: int
    blank: int | None  # None where the dictionary has no CTC blank
    never: tuple[int, ...]  # entries that no decoder produces: <s>, <pad>, <mask>, <ctc_blank>, sorted

    def require_blank(self) -> int:
        """Index of the CTC blank.

        Raises:
            ValueError: the dictionary has none.
        """
        if self.blank is None:
            raise ValueError(
                f"the dictionary has no {CTC_BLANK_SYMBOL}, which CTC decoding needs: load it with "
                "load_text_dictionary, or decode without CTC (--ctc-decoding-weight 0)"
            )
        return self.blank


def text_symbols(dictionary: Dictionary) -> TextSymbols:
    """Read the indices of `dictionary`; `<mask>` and `<ctc_blank>` may be absent."""
    appended = [dictionary.index(symbol) for symbol in (MASK_SYMBOL, CTC_BLANK_SYMBOL) if symbol in dictionary]
    return TextSymbols(
        size=len(dictionary),
        pad=dictionary.pad(),
        eos=dictionary.eos(),
        unk=dictionary.unk(),
        blank=dictionary.index(CTC_BLANK_SYMBOL) if CTC_BLANK_SYMBOL in dictionary else None,
        never=tuple(sorted({dictionary.bos(), dictionary.pad(), *appended})),
    )
