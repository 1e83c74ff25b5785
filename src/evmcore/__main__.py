"""`python -m evmcore`: see `evmcore.cli`."""

import sys

from evmcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
