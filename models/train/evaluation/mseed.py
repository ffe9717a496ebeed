"""Small miniSEED 2 records written without a library, and the replay directories made of them.

A record is 128 or 256 bytes of float32: packets of a tenth of a second, as a low-latency digitiser sends them, so that
the time at which a pick is said is not the time at which a 512-byte record was full. Layout: SEED manual 2.4, chapter 8
(fixed header of 48 bytes, blockette 1000), big-endian.
"""

import os

import numpy as np

NS = 1_000_000_000
DAY_NS = 86400 * NS
COMPONENTS = "ENZ"

FIXED = [
    ("sequence", "S6"),
    ("quality", "S1"),
    ("reserved", "S1"),
    ("station", "S5"),
    ("location", "S2"),
    ("channel", "S3"),
    ("network", "S2"),
    ("year", ">u2"),
    ("day", ">u2"),
    ("hour", "u1"),
    ("minute", "u1"),
    ("second", "u1"),
    ("unused", "u1"),
    ("fraction", ">u2"),
    ("n", ">u2"),
    ("factor", ">i2"),
    ("multiplier", ">i2"),
    ("flags", "V3"),
    ("blockettes", "u1"),
    ("correction", ">i4"),
    ("data_at", ">u2"),
    ("blockette_at", ">u2"),
    ("type", ">u2"),
    ("next", ">u2"),
    ("encoding", "u1"),
    ("big_endian", "u1"),
    ("length", "u1"),
    ("spare", "V9"),
]
FLOAT32 = 4


def ratio(rate):
    """(factor, multiplier) of the header for a rate in Hz."""
    for parts in (1, 10, 100, 1000):
        whole = int(round(rate * parts))
        if whole < 32768 and (abs(whole / parts - rate) < 1e-6 * rate or parts == 1000 or whole * 10 >= 32768):
            return whole, 1 if parts == 1 else -parts
    raise ValueError("rate %g" % rate)


def stamp(records, start_ns, rate, index):
    """The time fields of records whose first samples are number `index`; the header resolves 0.1 ms."""
    tick = (start_ns + np.rint(index * (NS / rate)).astype("i8") + 50_000) // 100_000
    days, rest = np.divmod(tick, DAY_NS // 100_000)
    date = days.astype("datetime64[D]")
    year = date.astype("datetime64[Y]")
    records["year"] = year.astype("i8") + 1970
    records["day"] = (date - year.astype("datetime64[D]")).astype("i8") + 1
    seconds, records["fraction"] = np.divmod(rest, 10_000)
    records["hour"], records["minute"], records["second"] = seconds // 3600, seconds // 60 % 60, seconds % 60


def pack(name, start_ns, rate, samples, packet_s):
    """Bytes of the records of one channel. name: (network, station, location, channel)."""
    each = max(int(round(packet_s * rate)), 1)
    length = 7 if each <= 16 else 8 if each <= 48 else 9
    each = min(each, 112)
    count = -(-len(samples) // each)
    records = np.zeros(count, np.dtype(FIXED + [("samples", ">f4", (2**length - 64) // 4)]))
    index = np.arange(count) * each
    records["sequence"] = ["%06d" % (i % 1000000) for i in range(count)]
    records["quality"], records["reserved"] = b"D", b" "
    for field, text in zip(("network", "station", "location", "channel"), name):
        records[field] = text.ljust(records.dtype[field].itemsize).encode()
    stamp(records, start_ns, rate, index)
    records["n"] = np.minimum(each, len(samples) - index)
    records["factor"], records["multiplier"] = ratio(rate)
    records["blockettes"], records["data_at"], records["blockette_at"] = 1, 64, 48
    records["type"], records["encoding"], records["big_endian"], records["length"] = 1000, FLOAT32, 1, length
    padded = np.zeros(count * each, "f4")
    padded[: len(samples)] = samples
    records["samples"][:, :each] = padded.reshape(count, each)
    return records.tobytes()


class Folder:
    """A replay directory being written."""

    HEAD = (
        "#Network|Station|Location|Channel|Latitude|Longitude|Elevation|Depth|Azimuth|Dip|SensorDescription|Scale|"
        "ScaleFreq|ScaleUnits|SampleRate|StartTime|EndTime\n"
    )

    def __init__(self, path):
        os.makedirs(path, exist_ok=True)
        self.path = path
        self.waves = open(os.path.join(path, "waveforms.mseed"), "wb")
        self.stations = open(os.path.join(path, "stations.txt"), "w")
        self.stations.write(self.HEAD)
        self.n = 0

    def station(self, place=None):
        """Make up a station: its code. Far from every other one, for they have nothing to do with each other."""
        code, k = "W%04d" % self.n, self.n
        self.n += 1
        self.place = place or (-70 + 0.1 * (k * 37 % 1400), -180 + (k * 7.3) % 360)
        return code

    def channel(self, code, component, rate, start_ns, samples, packets, kind="H"):
        """packets: [(from sample, packet length in s)], the first from 0. kind: H velocity, N acceleration."""
        band = ("H" if rate >= 80 else "B") + kind
        name = ("XX", code, "", band + component)
        azimuth, dip = {"E": (90, 0), "N": (0, 0), "Z": (0, -90)}[component]
        unit = "M/S**2" if kind == "N" else "M/S"
        self.stations.write(
            "XX|%s||%s|%.4f|%.4f|0||%g|%g||||%s|%g||\n" % (code, name[3], *self.place, azimuth, dip, unit, rate)
        )
        self.more(name, rate, start_ns, samples, packets)
        return "XX.%s..%s" % (code, band)

    def more(self, name, rate, start_ns, samples, packets):
        """Samples of a channel that is known already."""
        edges = [max(int(at), 0) for at, _ in packets] + [len(samples)]
        for (_, packet_s), a, b in zip(packets, edges[:-1], edges[1:]):
            if b > a:
                self.waves.write(pack(name, start_ns + int(round(a * NS / rate)), rate, samples[a:b], packet_s))

    def close(self):
        self.waves.close()
        self.stations.close()
