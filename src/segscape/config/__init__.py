"""Groups and their yaml files, the command line, composing, and what identifies a run; no torch."""
