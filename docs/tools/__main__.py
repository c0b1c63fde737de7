"""`python -m docs.tools`: write every generated page anew. `tests/docs` fails while one is out of date."""

import sys

from docs.tools.pages import PAGES


def main() -> None:
    for path, text in PAGES.items():
        wanted = text()
        if not path.exists() or path.read_text() != wanted:
            path.write_text(wanted)
            sys.stdout.write(f"wrote {path.name}\n")


if __name__ == "__main__":
    main()
