"""`python -m cidesign`."""

from cidesign.cli import main

if __name__ == "__main__":
    main()
