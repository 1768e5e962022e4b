"""`python -m traitswap` is the command `traitswap`."""

from traitswap.cli import main

main()
