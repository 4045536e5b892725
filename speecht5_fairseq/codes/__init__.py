"""Which code means what: the codes that a pre-trained model's quantizer gives speech and the text of it."""
