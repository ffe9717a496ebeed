"""The runtime's own words: `tocsin replay` on a directory, its picks and estimates read back."""

import json
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

from .progress import Progress

P, S = "P", "S"


def key_of(sid):
    """FDSN:NET_STA_LOC_B_S -> NET.STA.LOC.BS"""
    net, sta, loc, band, source = sid.split(":", 1)[1].split("_")
    return ".".join((net, sta, loc, band + source))


class Word:
    """One line about a pick: the first (revision 0) or a later one, which may re-time, confirm or withdraw it."""

    __slots__ = ("said", "sent", "at", "probability", "number", "confirmed", "withdrawn", "foreign")

    def __init__(self, line):
        said = line["declared_ns"] if line["revision"] == 0 else line.get("revised_ns") or line["sent_ns"]
        self.said, self.sent, self.at = said / 1e9, line["sent_ns"] / 1e9, line["time_ns"] / 1e9
        self.probability, self.number = line["probability"], line["pick"]
        self.confirmed, self.withdrawn = line.get("confirmed", False), line.get("withdrawn", False)
        self.foreign = line.get("domain", "unknown") not in ("unknown", "local quake")


class Picks:
    """What one replay said, as lists of (said s, onset s, probability), in the order in which it was said."""

    def __init__(self, path):
        self.by = {}
        with open(path) as f:
            for text in f:
                line = json.loads(text)
                word = Word(line)
                self.by.setdefault((key_of(line["sid"]), line["phase"], line["method"]), {}).setdefault(
                    word.number, []
                ).append(word)

    def of(self, station, phase, method):
        return self.by.get((station, phase, method), {}).values()

    def first(self, station, phase, method="cnn"):
        """As first said. Said: the end of the signal it was said from."""
        return [(w[0].said, w[0].at, w[0].probability) for w in self.of(station, phase, method)]

    def sent(self, station, phase, method="cnn"):
        """As first(), but said when its line went out: the wait for the packet and for the hop is in it."""
        return [(w[0].sent, w[0].at, w[0].probability) for w in self.of(station, phase, method)]

    def words(self, station, phase, method="cnn"):
        """Every word with its pick's number: for those who take the newest one by a moment."""
        return [
            (w.said, w.at, 0.0 if w.withdrawn else w.probability, w.number)
            for words in self.of(station, phase, method)
            for w in words
        ]

    def last(self, station, phase, method, keep):
        words = [w[-1] for w in self.of(station, phase, method)]
        return [(w.said, w.at, w.probability) for w in words if keep(w)]

    def revised(self, station, phase, method="cnn"):
        """Each pick's last word, unless it was withdrawn."""
        return self.last(station, phase, method, lambda w: not w.withdrawn)

    def local(self, station, phase, method="cnn"):
        """As revised(), without what was said to be a teleseism, a blast, noise or the instrument."""
        return self.last(station, phase, method, lambda w: not w.withdrawn and not w.foreign)

    def confirmed(self, station, phase, method="cnn"):
        """Picks that a second look confirmed, from the moment at which it did."""
        out = []
        for words in self.of(station, phase, method):
            sure = [w for w in words if w.confirmed]
            if sure and not words[-1].withdrawn:
                out.append((sure[0].said, sure[0].at, sure[0].probability))
        return out


def estimates_of(path):
    """{(station, pick): [(after_p_s, line)]}"""
    out = {}
    with open(path) as f:
        for text in f:
            line = json.loads(text)
            out.setdefault((key_of(line["sid"]), line["pick"]), []).append(line)
    return out


class Runner:
    """Runs replays, two at a time, and remembers what was run."""

    ALONE = "associator: {min_sites: 32, max_distance_km: 10}\n"  # records that are strangers to each other make no event

    def __init__(self, tocsin, work, jobs=2):
        self.tocsin, self.work, self.jobs = tocsin, work, jobs
        self.known, self.lock, self.count = {}, threading.Lock(), 0
        self.plain = set()  # thresholds (P, S) at which nobody asks for a second look

    def config(self, p, s, alone, extra=""):
        """p None: the thresholds that are shipped."""
        text = "daemon: {workers: 0}\n" + ("picker: {p_threshold: %.6g, s_threshold: %.6g}\n" % (p, s) if p else "")
        models = "models: {estimator: none%s}\n" % (", second: none" if (p, s) in self.plain else "")
        return text + (self.ALONE + models if alone else "") + extra

    def replay(self, folder, text):
        """Paths of picks, estimates and alerts of one run."""
        with self.lock:
            self.count += 1
            base = os.path.join(self.work, "run%04d" % self.count)
        with open(base + ".yaml", "w") as f:
            f.write(text)
        paths = [base + end for end in (".picks", ".estimates", ".alerts")]
        done = subprocess.run(
            [
                self.tocsin,
                "replay",
                "-q",
                "--latency",
                "0",
                "-c",
                base + ".yaml",
                "--picks",
                paths[0],
                "--estimates",
                paths[1],
                "--out",
                paths[2],
                folder,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode != 0:
            raise SystemExit("tocsin replay %s: %s" % (folder, done.stderr.strip()))
        return paths

    def picks(self, folder, p, s):
        key = (folder, p and round(p, 6), p and round(s, 6))
        if key not in self.known:
            paths = self.replay(folder, self.config(p, s, True))
            self.known[key] = Picks(paths[0])
            for path in paths:
                os.unlink(path)
        return self.known[key]

    def prepare(self, wanted, what="replays"):
        """Run [(folder, p, s)] side by side, so that picks() finds them."""
        wanted = [
            w for w in dict.fromkeys(wanted) if (w[0], w[1] and round(w[1], 6), w[1] and round(w[2], 6)) not in self.known
        ]
        progress = Progress(what, len(wanted))
        with ThreadPoolExecutor(self.jobs) as pool:
            for _ in pool.map(lambda w: self.picks(*w), wanted):
                progress.step()
        progress.close()
