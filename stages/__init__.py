"""The stages of dvc.yaml, each a module that `python -m stages.NAME` runs.

Their imports take seconds, in which Ctrl-C would end in a traceback. Until `_run.run` hears it,
it ends the process without a word.
"""

import signal
import sys

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
