"""``python -m openrdms`` is the ``rdms`` command."""

from openrdms.cli import main

if __name__ == "__main__":
    main()
