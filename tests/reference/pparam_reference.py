"""P parameters a second time, from the definitions in core/pparam.h and core/window.h: scipy's filters, numpy's sums.

Nothing of the C code is repeated here but what it says of itself: whole traces are filtered at once, and a parameter is one
expression over one slice. Input is a trace of the vertical on the 100 Hz grid, in m/s or m/s^2.
"""
import numpy as np
from scipy.integrate import cumulative_trapezoid
from scipy.signal import butter, lfilter, sosfilt, sosfilt_zi

RATE = 100
STEP = 10  # samples: sums and peaks are over whole tenths of a second of absolute time
NOISE_S, SKIPPED_S = 5.0, 0.3
PARAMETERS = ("pa_ms2", "pv_ms", "pd_m", "iv2_m2s", "tau_c_s", "tau_p_max_s", "snr_db")


def high_pass(x, corner_hz, settled=False):
    sos = butter(2, corner_hz, "highpass", fs=RATE, output="sos")
    if settled:
        return sosfilt(sos, x, zi=sosfilt_zi(sos) * x[0])[0]
    return sosfilt(sos, x)


def integrate(x):
    return cumulative_trapezoid(x, dx=1 / RATE, initial=0)


class Trace:
    """Acceleration, velocity, displacement and predominant period of one gapless trace; `first`: its first grid index."""

    def __init__(self, samples, acceleration, first):
        ground = high_pass(np.asarray(samples, "f8"), 0.075, settled=True)
        self.first = first
        self.v = high_pass(integrate(ground), 0.075) if acceleration else ground
        self.a = ground if acceleration else np.diff(self.v, prepend=0) * RATE
        self.d = high_pass(integrate(self.v), 0.075)
        self.rate_of_d = np.diff(self.d, prepend=0) * RATE
        slow = sosfilt(butter(2, 3, fs=RATE, output="sos"), self.v)
        memory = lambda x: lfilter([1], [1, -0.99], x * x)
        value, change = memory(slow), memory(np.diff(slow, prepend=0) * RATE)
        self.tau_p = 2 * np.pi * np.sqrt(np.divide(value, change, out=np.zeros_like(value), where=change > 0))

    def place(self, seconds_ns):
        """Sample at which the step begins that holds this time."""
        return int(seconds_ns // (STEP * 10_000_000)) * STEP - self.first

    def measure(self, onset_ns, window_s):
        """From the step that holds the onset to `window_s` after it; None where the trace does not reach."""
        a = self.place(onset_ns)
        b = self.place(onset_ns + int(round(window_s * 1e9)) - 50_000_000) + STEP
        if a < 0 or b > len(self.v) or b <= a:
            return None
        integral = lambda x: float(np.sum(x[a:b] ** 2)) / RATE
        peak = lambda x: float(np.max(np.abs(x[a:b])))
        return {"pa_ms2": peak(self.a), "pv_ms": peak(self.v), "pd_m": peak(self.d), "iv2_m2s": integral(self.v),
                "tau_c_s": 2 * np.pi * np.sqrt(integral(self.d) / integral(self.rate_of_d)),
                "tau_p_max_s": float(np.max(self.tau_p[a + STEP:b])) if b > a + STEP else None,
                "snr_db": self.snr_db(a, b)}

    def snr_db(self, a, b):
        """None when less than the full noise window lies before."""
        from_, to = a - int(NOISE_S * RATE), a - int(SKIPPED_S * RATE)
        if from_ < 0:
            return None
        return float(10 * np.log10(np.mean(self.v[a:b] ** 2) / np.mean(self.v[from_:to] ** 2)))
