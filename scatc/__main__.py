"""``python -m scatc``."""

import sys

from scatc.cli import main

sys.exit(main())
