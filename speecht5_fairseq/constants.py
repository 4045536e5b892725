"""Numbers and symbols that several layers share, with units. Source: SpeechT5 (arXiv 2110.07205), its checkpoints."""

SAMPLE_RATE = 16_000  # samples a second; every waveform in the package is 16 kHz mono

# wav2vec 2.0 convolutional extractor: (channels, kernel in samples/frames, stride)
CONV_LAYERS = ((512, 10, 5), (512, 3, 2), (512, 3, 2), (512, 3, 2), (512, 3, 2), (512, 2, 2), (512, 2, 2))
ENCODER_STRIDE = 320  # samples from one encoder frame to the next: the product of the strides above (20 ms)
ENCODER_WINDOW = 400  # samples that one encoder frame sees (25 ms); shorter waveforms have no frame
ENCODER_FRAME_RATE = SAMPLE_RATE // ENCODER_STRIDE  # 50 encoder frames (and units) a second

# Log-mel target frames
MEL_BINS = 80
MEL_WINDOW = 1024  # samples in a Hann window and in its FFT (64 ms)
MEL_HOP = 256  # samples from one mel frame to the next (16 ms)
MEL_MIN_HZ = 80.0
MEL_MAX_HZ = 7600.0
MEL_FLOOR = 1e-10  # smallest mel magnitude before log10

SPEAKER_DIM = 512  # entries of a speaker vector

MASK_SYMBOL = "<mask>"  # appended after the dictionary's own entries
CTC_BLANK_SYMBOL = "<ctc_blank>"  # appended after MASK_SYMBOL

IGNORED_LABEL = -100  # class index that no loss counts
