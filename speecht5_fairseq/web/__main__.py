"""`python -m speecht5_fairseq.web`."""

from .command import main

if __name__ == "__main__":
    main()
