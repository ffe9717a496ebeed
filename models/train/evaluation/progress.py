"""One line on a terminal: what, how far, how long still. Silent elsewhere but for the end of each stage."""

import sys
import time


class Progress:
    def __init__(self, what, total):
        self.what, self.total, self.done = what, total, 0
        self.began = time.monotonic()
        self.terminal = sys.stderr.isatty()

    def step(self, n=1):
        self.done += n
        if self.terminal and self.total:
            gone = time.monotonic() - self.began
            left = gone / self.done * (self.total - self.done)
            sys.stderr.write("\r%-40s %3.0f %%, %.0f s to go   " % (self.what, 100.0 * self.done / self.total, left))
            sys.stderr.flush()

    def close(self):
        gone = time.monotonic() - self.began
        if self.terminal:
            sys.stderr.write("\r" + " " * 78 + "\r")
        if self.total:
            sys.stderr.write("%s: %d in %.0f s\n" % (self.what, self.total, gone))
