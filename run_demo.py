"""The front door of a checkout: python run_demo.py --env WORLD is `worldsim play --env WORLD`."""

import sys

from worldsim_app.play import main

if __name__ == "__main__":
    sys.exit(main())
