"""An hour of steady load: what memory, files and answers do meanwhile. `python -m bench.soak`."""
