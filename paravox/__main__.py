"""`python -m paravox` is the `paravox` command."""

from paravox.cli import main

if __name__ == "__main__":
    main()
