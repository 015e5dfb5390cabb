"""From a command line to checked jobs: which combinations, do they work, do they fit."""
