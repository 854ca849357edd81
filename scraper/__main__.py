"""`python -m scraper` is `scraper`."""

import sys

from .cli import main

sys.exit(main())
