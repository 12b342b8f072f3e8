"""``python -m worldsim_app COMMAND ...`` is ``worldsim COMMAND ...`` where no script is on the PATH."""

import sys

from worldsim_app.main import main

if __name__ == "__main__":
    sys.exit(main())
