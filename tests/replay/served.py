"""A real earthquake through the SeedLink server: the living daemon must say what the file replay says.

usage: served.py TOCSIND TOCSIN TOCSIN_SIM GOLDEN.json [--speed X] [--reload] [--data DIR]

Starts tocsind on the data clock, subscribes, then serves the recording with `tocsin-sim serve` until it has said END.
What must hold: the golden checks of replay.py; as many samples as the file replay has (none lost, none twice); the same
picks; without --reload the same messages word for word; no hole in seq; a clean stop. With --reload the configuration
is read again each second of the stream, in turn with another threshold, broken, and as it was: the same must hold, each
refusal names file, line and column, and the revisions count up. Exit 0, 1 (failed) or 77 (the recordings are not here,
or the sanitizers make this one too long).
"""
import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import replay

PATIENCE_S = 600  # until a step is given up; measures nothing
RELOADS_MIN = 50  # of the sixty and more that an hour at speed 55 has time for
SANITIZED = bool(os.environ.get("TOCSIN_SANITIZED"))
STOP_S = 30 if SANITIZED else 2

CONFIG = """daemon: {clock: data}
feeds: [{type: seedlink, host: 127.0.0.1, port: %d}]
metadata: {stations: "%s"}
alert: {update_km: %g}
output: {socket: a.sock, picks: true}
control: {socket: c.sock}
"""
BROKEN = "daemon: {clock: data}\nalert: {update_km: 0}\n"
BROKEN_AT = "tocsin.yaml:2:20: "


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connect(path):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            s.connect(path)
            return s
        except OSError:
            s.close()
            time.sleep(0.02)
    sys.exit("nobody listens at %s" % os.path.basename(path))


class Subscriber(threading.Thread):
    """Keeps every line until the daemon closes."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.socket, self.messages = connect(path), []
        self.start()

    def run(self):
        with self.socket.makefile(encoding="utf-8") as f:
            for line in f:
                self.messages.append(json.loads(line))


class Daemon:
    def __init__(self, program, scratch):
        self.control = os.path.join(scratch, "c.sock")
        self.log_path = os.path.join(scratch, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([program, "-c", os.path.join(scratch, "tocsin.yaml")], stderr=log)
        self.subscriber = Subscriber(os.path.join(scratch, "a.sock"))

    def status(self):
        with connect(self.control) as s:
            s.sendall(b"status\n")
            with s.makefile(encoding="utf-8") as f:
                return json.loads(f.read())

    def log(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def stop(self):
        """Exit code and how long it took."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "none"
        took = time.monotonic() - begun
        self.subscriber.join(10)
        return code, took


def write_config(scratch, text):
    """Written aside and renamed: who reads meanwhile sees the old or the new one, whole."""
    path = os.path.join(scratch, "tocsin.yaml")
    with open(path + ".part", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".part", path)


def reload_once(daemon, scratch, text):
    """SIGHUP, and wait until it was taken or refused: the next file must not be read in this one's place."""
    def count():
        s = daemon.status()
        return s["config_revision"] + s["reloads_refused"]

    before, end = count(), time.monotonic() + PATIENCE_S
    write_config(scratch, text)
    daemon.process.send_signal(signal.SIGHUP)
    while count() == before:
        if time.monotonic() > end:
            sys.exit("SIGHUP was not answered")
        time.sleep(0.02)


def reload_all(daemon, scratch, texts, server):
    """One reload a second until the stream ends."""
    done = 0
    while server.poll() is None:
        begun = time.monotonic()
        reload_once(daemon, scratch, texts[done % len(texts)])
        done += 1
        time.sleep(max(0, 1 - (time.monotonic() - begun)))
    return done


def serve(a, directory, port):
    return subprocess.Popen([a.tocsin_sim, "serve", "--port", str(port), "--speed", str(a.speed), "--wait",
                             "--from-start", "--end", directory], stdout=subprocess.DEVNULL)


def file_replay(tocsin, directory, scratch):
    """Messages, picks and the sample count of the file replay, whose record times are the server's (0.5 s latency)."""
    out, picks = os.path.join(scratch, "file.jsonl"), os.path.join(scratch, "file.picks.jsonl")
    done = subprocess.run([tocsin, "replay", "--out", out, "--picks", picks, directory], stderr=subprocess.PIPE,
                          encoding="utf-8", check=False)
    counted = re.search(r"(\d+) samples", done.stderr)
    if done.returncode != 0 or not counted:
        sys.exit("replay ended with %d: %s" % (done.returncode, done.stderr))
    return replay.lines(out), replay.lines(picks), int(counted.group(1))


def plain(messages, type_is, until):
    """Word for word, but for what says when and by whom a line was sent; up to a moment of the data clock."""
    own = ("seq", "sent", "sent_ns")
    return [json.dumps({k: v for k, v in m.items() if k not in own}, sort_keys=True)
            for m in messages if type_is(m["type"]) and m.get("declared", m.get("issued")) <= until]


def is_pick(kind):
    return kind == "pick"


def is_event(kind):
    return kind not in ("pick", "heartbeat", "estimate")


def pick_set(messages, until):
    return {(m["sid"], m["phase"], m["time_ns"], m["probability"], m["declared"], m["revision"])
            for m in messages if is_pick(m["type"]) and m["declared"] <= until}


def check_same(v, said, messages, picks, until):
    """The file replay's clock runs on after the last record; the daemon was stopped there. Compared is up to it."""
    there, here = pick_set(picks, until), pick_set(said, until)
    v.say(here == there and here, "%d picks, %d of the file replay until %s (only here %d, only there %d)"
          % (len(here), len(there), until, len(here - there), len(there - here)))
    here, there = plain(said, is_event, until), plain(messages, is_event, until)
    return here == there, "%d event messages, word for word those of the file replay (%d)" % (len(here), len(there))


def check_seq(v, said):
    seq = [m["seq"] for m in said]
    v.say(seq and seq == list(range(seq[0], seq[0] + len(seq))), "%d lines, seq without a hole" % len(seq))


def check_counters(v, status, samples):
    c = status["counters"]
    v.say(c["samples"] == samples, "%d samples through the server, %d from the file" % (c["samples"], samples))
    for name in ("samples_duplicate", "records_refused", "records_unknown"):
        v.say(c[name] == 0, "%s %d" % (name, c[name]))
    feed = status["feeds"][0]
    v.say(feed["skipped_bytes"] == feed["repeated"] == 0, "%d records, %d repeated, %d bytes skipped"
          % (feed["records"], feed["repeated"], feed["skipped_bytes"]))


def wait_for_end(daemon):
    """The server may be gone while the last megabytes still wait in the daemon's socket. Its END ends the session."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        status = daemon.status()
        if status["feeds"][0]["drops"] > 0:
            return status
        time.sleep(0.05)
    sys.exit("the daemon never came to the END of the stream")


def check_reloads(v, status, log, done):
    refused = len(range(1, done, 3))
    v.say(done >= RELOADS_MIN, "%d reloads during the stream (at least %d)" % (done, RELOADS_MIN))
    v.say(status["config_revision"] == 1 + done - refused, "revision %d after %d reloads taken"
          % (status["config_revision"], done - refused))
    v.say(status["reloads_refused"] == refused, "%d reloads refused of %d broken"
          % (status["reloads_refused"], refused))
    told = sum(BROKEN_AT in line for line in log.splitlines())
    v.say(told == refused, "%d refusals in the log name file, line and column" % told)


def run(a, golden, directory, scratch):
    v = replay.Verdict()
    messages, picks, samples = file_replay(a.tocsin, directory, scratch)
    port, stations = free_port(), os.path.abspath(os.path.join(directory, "stations.txt"))
    usual, other = (CONFIG % (port, stations, km) for km in (5, 7))  # 5 is what the file replay has
    write_config(scratch, usual)
    daemon = Daemon(a.tocsind, scratch)
    begun = time.monotonic()
    server = serve(a, directory, port)
    try:
        if a.reload:
            done = reload_all(daemon, scratch, (other, BROKEN, usual), server)
        code = server.wait(PATIENCE_S)
        status = wait_for_end(daemon)
        v.say(code == 0, "the server gave all and said END (%.1f s)" % (time.monotonic() - begun))
        code, took = daemon.stop()
    finally:
        server.kill()
        daemon.process.kill()
    v.say(code == 0 and took < STOP_S, "SIGTERM: exit %s in %.2f s" % (code, took))
    said = daemon.subscriber.messages
    check_counters(v, status, samples)
    check_seq(v, said)
    same, text = check_same(v, said, messages, picks, status["now"])
    if a.reload:
        check_reloads(v, status, daemon.log(), done)
    else:
        v.say(same, text)
    events = [m for m in said if is_event(m["type"])]
    for quake in golden["quakes"]:
        replay.check_quake(v, events, quake)
    replay.check_silence(v, events, golden, replay.read_catalogue(directory))
    if v.bad:
        sys.stderr.write(daemon.log())
    return 1 if v.bad else 0


def main():
    args = argparse.ArgumentParser()
    for name in ("tocsind", "tocsin", "tocsin_sim", "golden"):
        args.add_argument(name)
    args.add_argument("--data", default=os.environ.get("TOCSIN_DATA", ""))
    args.add_argument("--speed", type=float, default=0, help="times real time; 0: as fast as it goes")
    args.add_argument("--reload", action="store_true")
    a = args.parse_args()
    with open(a.golden, encoding="utf-8") as f:
        golden = json.load(f)
    directory = os.path.join(a.data, "replay", golden["set"])
    if not a.data or not os.path.isdir(directory):
        print("skipped: no recordings of %s here (TOCSIN_DATA)" % golden["set"])
        return 77
    if SANITIZED and a.reload:
        print("skipped: an hour at this pace is too much under the sanitizers")
        return 77
    with tempfile.TemporaryDirectory() as scratch:
        return run(a, golden, directory, scratch)


if __name__ == "__main__":
    sys.exit(main())
