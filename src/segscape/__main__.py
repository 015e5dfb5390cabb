"""`python -m segscape` is the console script `segscape`."""

from segscape.cli import main

main()
