"""Abbreviations that are read as whole words: lower-case abbreviation -> words, for each language.

The small tables hold what has one reading only: "st." (saint, street) and "no." (number, or the word) are not in them.
"""

from __future__ import annotations

ABBREVIATIONS: dict[str, dict[str, str]] = {
    "en": {
        "mr.": "mister",
        "mr": "mister",
        "mrs.": "missus",
        "mrs": "missus",
        "dr.": "doctor",
        "dr": "doctor",
        "prof.": "professor",
        "rev.": "reverend",
        "gov.": "governor",
        "capt.": "captain",
        "lt.": "lieutenant",
        "sgt.": "sergeant",
        "jr.": "junior",
        "sr.": "senior",
        "dept.": "department",
        "approx.": "approximately",
        "vs.": "versus",
        "etc.": "et cetera",
        "e.g.": "for example",
        "i.e.": "that is",
    },
    "fr": {
        "m.": "monsieur",
        "mm.": "messieurs",
        "mme": "madame",
        "mmes": "mesdames",
        "mlle": "mademoiselle",
        "dr": "docteur",
        "dr.": "docteur",
        "etc.": "et cetera",
        "p. ex.": "par exemple",
        "c.-à-d.": "c'est à dire",
    },
    "es": {
        "sr.": "señor",
        "sra.": "señora",
        "srta.": "señorita",
        "dr.": "doctor",
        "dra.": "doctora",
        "ud.": "usted",
        "uds.": "ustedes",
        "etc.": "etcétera",
        "p. ej.": "por ejemplo",
    },
}
