"""A page in the browser for trained models: `python -m speecht5_fairseq.web --recognise asr.pt --say tts.pt ...`."""
