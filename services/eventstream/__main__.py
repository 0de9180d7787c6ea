"""`python -m eventstream` is the `eventstream` command."""

from eventstream.cli import main

if __name__ == "__main__":
    main()
