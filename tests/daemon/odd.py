"""Damaged data, damaged files and a mad server: what is good around them must be processed as if they were not there.

usage: odd.py TOCSIND TOCSIN TOCSIN_SIM SOURCE [--seed N] [--data DIR]

A small simulated earthquake is mixed with every file of DIR/odd (TOCSIN_DATA; without it that part is left out) and
with records cut short, with flipped bits and with forged lengths, counts, chains, encodings, rates and times. Then:
  replay   `tocsin replay` of the mixture: exit 0, every good sample stored, the earthquake alerted, refusals counted
  files    tocsind reads the same folder with all those stations in its metadata, so that what passes the fence runs
           through rings, filters and networks: it lives, and each good station has all its samples
  server   a scripted SeedLink server that breaks off, talks rubbish, refuses, stutters byte by byte and sends the
           damaged records between the good ones: it reconnects until every good sample is there, and alerts
  config   the shipped configuration cut at every 50th byte: --check-config says 0 or 1 and where, and dies of nothing
  weights  networks of a wrong length, checksum, shape, type or name: the start is refused by name
"""
import argparse
import collections
import csv
import json
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "replay"))
import replay
import served

RECORD = 512
PATIENCE_S = 300
ID = r"([A-Z0-9]{1,2})\.([A-Z0-9]{1,5})\.([A-Z0-9]{0,2})\.([A-Z0-9]{3})\b"
GHOST = b"GHOST"  # the station whose records are damaged

CONFIG = """daemon: {clock: data}
feeds: [%s]
metadata: {stations: stations.txt}
output: {socket: a.sock, picks: true}
control: {socket: c.sock}
"""


# ---- good records and what becomes of them ----

def generate(tocsin_sim, directory):
    subprocess.check_call([tocsin_sim, "generate", "--stations", "6", "--duration", "100", "--origin", "40",
                           "--magnitude", "5.5", "--extent", "80", "--seed", "7", directory],
                          stdout=subprocess.DEVNULL)
    with open(os.path.join(directory, "waveforms.mseed"), "rb") as f:
        whole = f.read()
    records = [whole[at:at + RECORD] for at in range(0, len(whole), RECORD)]
    assert all(r[54] == 9 for r in records), "the generator writes records of 512 bytes"
    return records


def station_of(record):
    return record[8:13].decode().strip()


def count_of(record):
    return struct.unpack(">H", record[30:32])[0]


def start_of(record):
    return struct.unpack(">HHBBBxH", record[20:30])


def ghost_of(record):
    return record[:8] + GHOST + record[13:]


def with_bytes(record, at, value):
    return record[:at] + value + record[at + len(value):]


def flip(rng, record):
    """One to eight bits, anywhere but in the codes: who it is from stays readable."""
    bits = bytearray(record)
    for _ in range(rng.randint(1, 8)):
        at = rng.choice([i for i in range(RECORD) if not 8 <= i < 20])
        bits[at] ^= 1 << rng.randrange(8)
    return bytes(bits)


def forge(rng, record):
    """One lie: length, sample count, chain, encoding, rate, time, data offset."""
    at, value = rng.choice([
        (54, bytes([rng.choice([0, 6, 10, 12, 20, 60, 255])])), (30, b"\xff\xff"), (46, b"\x01\xf4"), (46, b"\x9c\x40"),
        (50, b"\x00\x30"), (50, b"\x00\x10"), (52, bytes([rng.randrange(256)])), (32, b"\x00\x00"),
        (32, b"\x7f\xff\x7f\xff"), (22, b"\x01\x90"), (24, b"\x19"), (28, b"\xff\xff"), (20, b"\x08\x1a"),
        (20, b"\x07\xd0"), (44, b"\x01\xff"),
        (44, b"\x00\x10"), (44, b"\xff\xff"), (40, b"\x7f\xff\xff\xff")])
    return with_bytes(record, at, value)


def damage(rng, record):
    return rng.choice([flip, flip, forge])(rng, ghost_of(record))


def mix_file(rng, records, path):
    """Good records with damaged ones, halves and noise of any length between them."""
    with open(path, "wb") as f:
        for record in records:
            kind = rng.randrange(8)
            if kind < 3:
                f.write(damage(rng, record))
            elif kind == 3:
                f.write(ghost_of(record)[:rng.randrange(1, RECORD)])
            elif kind == 4:
                f.write(rng.randbytes(rng.randrange(1, 700)))
            f.write(record)
        f.write(ghost_of(records[-1])[:300])


def odd_files(data):
    found = []
    for folder, _, names in os.walk(os.path.join(data, "odd")):
        found += [os.path.join(folder, n) for n in names if not n.endswith((".csv", ".md", ".json", ".xml", ".txt"))]
    return sorted(found)


def odd_stations(data):
    """Metadata for what the odd files hold, so that it is not simply passed over."""
    lines, seen = [], set()
    with open(os.path.join(data, "odd", "expected_obspy.csv"), encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f):
            for name in re.findall(ID, row["ids"] or ""):
                if name not in seen:
                    seen.add(name)
                    dip = -90 if name[3][2] == "Z" else 0
                    lines.append("%s|%s|%s|%s|36|-118|0|0|0|%d|odd|1e9|1|M/S|100||\n" % (*name, dip))
    return lines


def ghost_stations(directory):
    with open(os.path.join(directory, "stations.txt"), encoding="utf-8") as f:
        return [line.replace("|T001|", "|GHOST|") for line in f if "|T001|" in line]


def expected(records):
    samples = collections.Counter()
    for record in records:
        samples[station_of(record)] += count_of(record)
    return samples


class Test:
    def __init__(self, a, scratch):
        self.a, self.scratch, self.v = a, scratch, replay.Verdict()
        self.good = os.path.join(scratch, "good")
        self.records = generate(a.tocsin_sim, self.good)
        self.samples = expected(self.records)
        self.quake = replay.read_catalogue(self.good)[0]

    def folder(self, name):
        path = os.path.join(self.scratch, name)
        os.mkdir(path)
        return path

    def heard(self, messages):
        events = [m for m in messages if served.is_event(m["type"])]
        known = replay.matching(events, self.quake)
        return sum(m["type"] == "alert" and m["event"] in known for m in events)


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


# ---- a folder of good and bad ----

def make_mixture(t, rng):
    folder = t.folder("mixed")
    mix_file(rng, t.records, os.path.join(folder, "mixed.mseed"))
    odd = odd_files(t.a.data) if t.a.data else []
    for i, path in enumerate(odd):
        shutil.copy(path, os.path.join(folder, "odd%03d.mseed" % i))
    shutil.copy(os.path.join(t.good, "stations.txt"), folder)
    print("         %d good records, %d odd files" % (len(t.records), len(odd)))
    return folder


def check_replay(t, folder):
    out = os.path.join(t.scratch, "mixed.jsonl")
    done = subprocess.run([t.a.tocsin, "replay", "--out", out, folder], stderr=subprocess.PIPE, encoding="utf-8",
                          check=False)
    counts = re.search(r"\((\d+) refused, (\d+) without metadata, (\d+) bytes stepped over\), (\d+) samples",
                       done.stderr)
    t.v.say(done.returncode == 0 and counts, "replay: exit %d" % done.returncode)
    if not counts:
        sys.stderr.write(done.stderr)
        return
    refused, unknown, skipped, samples = map(int, counts.groups())
    good = sum(t.samples.values())
    t.v.say(samples == good, "replay: %d samples stored, %d good ones" % (samples, good))
    t.v.say(refused > 100 and skipped > 0, "replay: %d records refused, %d of unknown channels, %d bytes stepped over"
            % (refused, unknown, skipped))
    t.v.say(t.heard(replay.lines(out)) == 1, "replay: the earthquake is alerted, once")


def add_stations(t, folder):
    with open(os.path.join(folder, "stations.txt"), "a", encoding="utf-8") as f:
        f.writelines(ghost_stations(t.good))
        if t.a.data:
            f.writelines(odd_stations(t.a.data))


def check_groups(t, status, what):
    groups = {g["sid"]: g["samples"] for g in status["stations"]}
    wrong = [s for s, n in t.samples.items() if groups.get("FDSN:SY_%s__H_H" % s) != n]
    t.v.say(not wrong, "%s: each good station has all its samples (%d in all), of %d stations%s"
            % (what, sum(t.samples.values()), len(groups), " but " + " ".join(wrong) if wrong else ""))
    c = status["counters"]
    t.v.say(c["records_refused"] > 0, "%s: %d of %d records refused" % (what, c["records_refused"], c["records"]))


def wait_until(daemon, ready):
    end = time.monotonic() + PATIENCE_S
    while True:
        status = daemon.status()
        if ready(status) or time.monotonic() > end or daemon.process.poll() is not None:
            return status
        time.sleep(0.1)


def stop(t, daemon, what):
    code, took = daemon.stop()
    t.v.say(code == 0, "%s: SIGTERM, exit %s in %.2f s" % (what, code, took))
    if t.v.bad:
        sys.stderr.write(daemon.log()[-4000:])


def check_files(t, folder):
    add_stations(t, folder)
    write(os.path.join(folder, "tocsin.yaml"), CONFIG % "{type: file, path: ., speed: 0}")
    daemon = served.Daemon(t.a.tocsind, folder)
    try:
        status = wait_until(daemon, lambda s: s["feeds_ended"])
        t.v.say(status["feeds_ended"], "files: read to the end")
        check_groups(t, status, "files")
        stop(t, daemon, "files")
    finally:
        daemon.process.kill()
    t.v.say(t.heard(daemon.subscriber.messages) == 1, "files: the earthquake is alerted, once")


# ---- a server that is out of its mind ----

class Server(threading.Thread):
    """Each connection plays the next act; the last act, all the rest and then patience, for all that follow."""

    def __init__(self, rng, packets):
        super().__init__(daemon=True)
        self.rng, self.packets, self.played = rng, packets, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.acts = [self.rubbish_greeting, self.stutter, self.rubbish, self.refuse_all, self.wrong_head,
                     self.endless_line, self.half_record, self.error, self.lower_case, self.end]

    def run(self):
        while True:
            link, _ = self.listener.accept()
            act = self.acts[len(self.played)] if len(self.played) < len(self.acts) else self.all
            self.played.append(act.__name__)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                act(link)
            except OSError:
                pass  # the client had enough
            link.close()

    def commands(self, link):
        have = b""
        while True:
            part = link.recv(4096)
            if not part:
                raise OSError
            have += part
            *whole, have = re.split(rb"\r\n|\r|\n", have)
            for line in whole:
                if line:
                    yield line.decode("ascii").split()

    def greet(self, link, answer=b"OK\r\n"):
        """The handshake. @return first number wanted by station"""
        wanted, station = {}, None
        for words in self.commands(link):
            if words[0] == "HELLO":
                link.sendall(b"SeedLink v3.1 (mad) :: SLPROTO:3.1\r\nAsylum\r\n")
            elif words[0] == "END":
                return wanted
            else:
                if words[0] == "STATION":
                    station = words[1]
                elif words[0] == "DATA":
                    wanted[station] = int(words[1], 16) if len(words) > 1 else 0
                link.sendall(answer)
        return wanted

    def rest(self, wanted):
        return [b"SL%06X" % number + record for station, number, record in self.packets
                if number >= wanted.get(station, 1 << 24)]

    def some(self, link, n=120):
        """A while of good manners, so that what comes then meets a stream in full swing."""
        rest = self.rest(self.greet(link))
        link.sendall(b"".join(rest[:n]))
        return rest[n:]

    def rubbish_greeting(self, link):
        link.sendall(self.rng.randbytes(600))

    def stutter(self, link):
        for packet in self.rest(self.greet(link))[:60]:
            for at in range(len(packet)):
                link.sendall(packet[at:at + 1])

    def rubbish(self, link):
        self.some(link)
        link.sendall(self.rng.randbytes(3000))

    def refuse_all(self, link):
        self.greet(link, b"ERROR\r\n")

    def wrong_head(self, link):
        link.sendall(b"XX000001" + self.some(link)[0][8:])

    def endless_line(self, link):
        link.sendall(b"A" * 100000)

    def half_record(self, link):
        link.sendall(self.some(link)[0][:200])

    def error(self, link):
        self.some(link)
        link.sendall(b"ERROR\r\n")

    def lower_case(self, link):
        packet = self.some(link)[0]
        link.sendall(b"SL00zz0f" + packet[8:])

    def end(self, link):
        self.some(link)
        link.sendall(b"END")

    def all(self, link):
        link.sendall(b"".join(self.rest(self.greet(link))))
        for _ in self.commands(link):
            pass  # INFO stays without an answer: the daemon will come again


def make_packets(rng, records):
    """By time, each station with numbers of its own; lies about the length only where enough follows to notice."""
    numbers, packets = collections.Counter(), []
    ordered = sorted(records, key=start_of)
    for i, record in enumerate(ordered):
        for each in [damage(rng, record)] * (rng.randrange(4) == 0) + [record]:
            if each[54] != 9 and i > len(ordered) - 300:
                continue
            name = station_of(each)
            packets.append((name, numbers[name], each))
            numbers[name] += 1
    return packets


def check_server(t, rng):
    folder, packets = t.folder("served"), make_packets(rng, t.records)
    shutil.copy(os.path.join(t.good, "stations.txt"), folder)
    with open(os.path.join(folder, "stations.txt"), "a", encoding="utf-8") as f:
        f.writelines(ghost_stations(t.good))
    server = Server(rng, packets)
    server.start()
    write(os.path.join(folder, "tocsin.yaml"), CONFIG % ("{type: seedlink, host: 127.0.0.1, port: %d}" % server.port))
    daemon = served.Daemon(t.a.tocsind, folder)
    good = sum(t.samples.values())

    def complete(status):
        return sum(g["samples"] for g in status["stations"] if "GHOST" not in g["sid"]) >= good

    try:
        status = wait_until(daemon, complete)
        check_groups(t, status, "server")
        feed = status["feeds"][0]
        t.v.say(len(server.played) > len(server.acts), "server: %d packets, %d connections, %d broken streams; %s"
                % (len(packets), len(server.played), feed["drops"], " ".join(server.played)))
        stop(t, daemon, "server")
    finally:
        daemon.process.kill()
    t.v.say(t.heard(daemon.subscriber.messages) == 1, "server: the earthquake is alerted, once")


# ---- files that steer it ----

def run_quiet(command):
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
                          errors="replace", timeout=PATIENCE_S, check=False)
    return done.returncode, done.stderr


def check_config(t):
    folder, codes = t.folder("config"), collections.Counter()
    path = os.path.join(folder, "cut.yaml")
    with open(os.path.join(t.a.source, "config", "tocsin.yaml"), "rb") as f:
        whole = f.read()
    for size in range(0, len(whole), 50):
        with open(path, "wb") as f:
            f.write(whole[:size])
        code, said = run_quiet([t.a.tocsind, "--check-config", "-c", path])
        named = re.search(r"cut\.yaml:\d+:\d+: ", said)
        codes[code if code == 0 or named else "%s without a place (at %d)" % (code, size)] += 1
    t.v.say(set(codes) == {0, 1}, "config: cut at every 50th of %d bytes: %s" % (len(whole), dict(codes)))


def unpack(path):
    with open(path, "rb") as f:
        whole = f.read()
    size = struct.unpack("<Q", whole[:8])[0]
    return json.loads(whole[8:8 + size]), whole[8 + size:]


def pack(header, payload):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + payload


def ruined_weights(path):
    """(what, file, what the refusal must name)"""
    header, payload = unpack(path)
    name = next(n for n in header if n != "__metadata__" and len(header[n]["shape"]) > 1)
    whole = pack(header, payload)

    def changed(**fields):
        return pack({**header, name: {**header[name], **fields}}, payload)

    renamed = {("stranger" if n == name else n): v for n, v in header.items()}
    broken = bytearray(payload)
    broken[len(broken) // 2] ^= 1
    return [("cut in the middle", whole[:len(whole) // 2], ""), ("cut in the header", whole[:100], ""),
            ("empty", b"", ""), ("of rubbish", random.Random(3).randbytes(5000), ""),
            ("with a header of 2^63 bytes", struct.pack("<Q", 1 << 63) + whole[8:], ""),
            ("with one flipped bit", pack(header, bytes(broken)), "checksum"),
            ("with bytes behind it", whole + b"\0" * 64, ""),
            ("with a wrong shape", changed(shape=header[name]["shape"][::-1] + [1]), name),
            ("with a turned shape", changed(shape=header[name]["shape"][::-1]), name),
            ("with another type", changed(dtype="F64"), name),
            ("with offsets past the end", changed(data_offsets=[0, len(payload) + 4]), name),
            ("with a tensor renamed", pack(renamed, payload), "")]


def check_weights(t):
    folder = t.folder("weights")
    shutil.copy(os.path.join(t.good, "stations.txt"), folder)
    for kind in ("picker", "estimator"):
        good = os.path.join(t.a.source, "models", kind, "weights.safetensors")
        for what, content, named in ruined_weights(good):
            with open(os.path.join(folder, "ruined.safetensors"), "wb") as f:
                f.write(content)
            write(os.path.join(folder, "tocsin.yaml"),
                  CONFIG % "" + "models: {%s: ruined.safetensors}\n" % kind)
            code, said = run_quiet([t.a.tocsind, "--check-config", "-c", os.path.join(folder, "tocsin.yaml")])
            said = said.strip().split("ruined.safetensors: ")
            t.v.say(code == 1 and len(said) == 2 and named in said[1], "weights: %s %s: exit %d, %s"
                    % (kind, what, code, said[-1][:90]))


def main():
    args = argparse.ArgumentParser()
    for name in ("tocsind", "tocsin", "tocsin_sim", "source"):
        args.add_argument(name)
    args.add_argument("--data", default=os.environ.get("TOCSIN_DATA", ""))
    args.add_argument("--seed", type=int, default=1)
    a = args.parse_args()
    if not os.path.isdir(os.path.join(a.data, "odd")):
        a.data = ""
        print("         no odd files here (TOCSIN_DATA): without them")
    with tempfile.TemporaryDirectory() as scratch:
        t = Test(a, scratch)
        folder = make_mixture(t, random.Random(a.seed))
        check_replay(t, folder)
        check_files(t, folder)
        check_server(t, random.Random(a.seed + 1))
        check_config(t)
        check_weights(t)
    return 1 if t.v.bad else 0


if __name__ == "__main__":
    sys.exit(main())
