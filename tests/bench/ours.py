"""Tocsin's engine through ctypes: the library of tests/bench/shim.c. Needs no package."""
import array
import ctypes
import os
import sys

POINTER, FLOATS = ctypes.c_void_p, ctypes.POINTER(ctypes.c_float)

_FUNCTIONS = {
    "toc_model_load": (ctypes.c_int, [ctypes.c_char_p, ctypes.c_size_t, POINTER, ctypes.c_char_p, ctypes.c_size_t]),
    "toc_model_crc32c": (ctypes.c_uint32, [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]),
    "toc_model_inputs": (ctypes.c_uint32, [POINTER]),
    "toc_model_outputs": (ctypes.c_uint32, [POINTER]),
    "toc_model_stride": (ctypes.c_uint32, [POINTER]),
    "toc_model_work": (ctypes.c_double, [POINTER, ctypes.c_uint32]),
    "toc_model_scratch_create": (ctypes.c_int, [POINTER, ctypes.c_uint32, POINTER]),
    "toc_model_stream_create": (ctypes.c_int, [POINTER, POINTER]),
    "toc_model_stream_reset": (None, [POINTER]),
    "toc_model_push": (None, [POINTER, POINTER, POINTER, POINTER, ctypes.c_uint32, POINTER]),
    "toc_model_push_many": (None, [POINTER, POINTER, ctypes.c_uint32, POINTER, POINTER, ctypes.c_uint32, POINTER]),
    "toc_model_run_window": (ctypes.c_int, [POINTER, POINTER, POINTER, ctypes.c_uint32, POINTER, POINTER]),
    "toc_model_run_part": (ctypes.c_int, [POINTER, POINTER, POINTER] + [ctypes.c_uint32] * 3 + [POINTER]),
    "bench_fma_peak": (ctypes.c_double, []),
    "bench_fma_width": (ctypes.c_char_p, []),
    "bench_pushes": (ctypes.c_double, [POINTER] * 4 + [ctypes.c_uint32] * 2 + [POINTER]),
    "bench_push_in_turn": (None, [POINTER, POINTER, ctypes.c_uint32, POINTER, POINTER, ctypes.c_uint32, POINTER]),
    "bench_workers": (ctypes.c_double, [POINTER, POINTER, ctypes.c_uint32, POINTER] + [ctypes.c_uint32] * 3 + [POINTER]),
}


class Shim:
    def __init__(self, path):
        self.lib = ctypes.CDLL(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self.lib, name)
            function.restype, function.argtypes = result, arguments

    def crc32c(self, crc, data):
        return self.lib.toc_model_crc32c(crc, data, len(data))

    def fma_peak(self):
        """Multiply-adds a second."""
        return self.lib.bench_fma_peak()

    def fma_width(self):
        return self.lib.bench_fma_width().decode()


def floats(values):
    """The array as C sees it."""
    return (ctypes.c_float * len(values)).from_buffer(values)


class Model:
    """One loaded model; what it made is kept until the process ends."""

    def __init__(self, shim, data):
        self.shim, self.lib = shim, shim.lib
        self.handle, why = ctypes.c_void_p(), ctypes.create_string_buffer(256)
        if self.lib.toc_model_load(data, len(data), ctypes.byref(self.handle), why, len(why)) != 0:
            sys.exit("bench: %s" % why.value.decode())
        self.inputs = self.lib.toc_model_inputs(self.handle)
        self.outputs = self.lib.toc_model_outputs(self.handle)
        self.stride = self.lib.toc_model_stride(self.handle)

    @classmethod
    def of(cls, shim, network):
        return cls(shim, network.file(shim.crc32c))

    @classmethod
    def read(cls, shim, path):
        with open(path, "rb") as file:
            return cls(shim, file.read())

    def work(self, n):
        """Multiply-adds of n rows."""
        return self.lib.toc_model_work(self.handle, n)

    def scratch(self, rows):
        made = ctypes.c_void_p()
        if self.lib.toc_model_scratch_create(self.handle, rows, ctypes.byref(made)) != 0:
            sys.exit("bench: no scratch of %d rows" % rows)
        return made

    def streams(self, n):
        made = (ctypes.c_void_p * n)()
        for k in range(n):
            one = ctypes.c_void_p()
            if self.lib.toc_model_stream_create(self.handle, ctypes.byref(one)) != 0:
                sys.exit("bench: no stream")
            made[k] = one.value
        return made

    def windows(self, rows, batch, n):
        """A call that runs `batch` windows of n rows one after the other, and the array of its outputs."""
        out = array.array("f", bytes(4 * batch * n // self.stride * self.outputs))
        scratch, given, taken = self.scratch(n), floats(rows), floats(out)
        run, handle, got = self.lib.toc_model_run_window, self.handle, ctypes.c_uint32()
        base, into = ctypes.addressof(given), ctypes.addressof(taken)
        got_at = ctypes.addressof(got)
        jobs = [(base + 4 * k * n * self.inputs, into + 4 * k * (n // self.stride) * self.outputs) for k in range(batch)]

        def call():
            for source, target in jobs:
                run(handle, scratch, source, n, target, got_at)
        call.held = given, taken, got
        return call, out

    def part(self, rows, n, first, count):
        """A call that computes only `count` output rows of one window."""
        out = array.array("f", bytes(4 * count * self.outputs))
        scratch, given, taken = self.scratch(n), floats(rows), floats(out)
        run, handle = self.lib.toc_model_run_part, self.handle

        def call():
            return run(handle, scratch, given, n, first, count, taken)
        return call, out

    def turn(self, rows, n_streams, n, together):
        """A call that gives n rows to each stream: one by one, or all together (toc_model_push_many)."""
        out = array.array("f", bytes(4 * n_streams * (n // self.stride) * self.outputs))
        given, taken, streams = floats(rows), floats(out), self.streams(n_streams)
        run = self.lib.toc_model_push_many if together else self.lib.bench_push_in_turn
        handle, scratch = self.handle, self.scratch(n)

        def call():
            run(handle, streams, n_streams, scratch, given, n, taken)

        def reset():
            for stream in streams:
                self.lib.toc_model_stream_reset(stream)
        return call, reset, out

    def step_s(self, rows, repeats):
        """A function that gives the seconds of one pushed row, the loop being C's."""
        out = array.array("f", bytes(4 * self.outputs))
        given, taken, stream, scratch = floats(rows), floats(out), self.streams(1)[0], self.scratch(1)
        return lambda: self.lib.bench_pushes(self.handle, stream, scratch, given, 1, repeats, taken)

    def workers(self, rows, n, n_windows, cpus, repeats):
        """Windows a second of one thread on each of these processors, and whether one of them lost its core meanwhile."""
        given, on, disturbed = floats(rows), (ctypes.c_int * len(cpus))(*cpus), ctypes.c_uint32()
        rate = self.lib.bench_workers(self.handle, on, len(cpus), given, n, n_windows, repeats, ctypes.byref(disturbed))
        return rate, disturbed.value > 0


def open_shim(build):
    path = os.path.join(build, "tests", "libtocsinbench.so")
    if not os.path.exists(path):
        sys.exit("bench: %s is not built" % path)
    return Shim(path)
