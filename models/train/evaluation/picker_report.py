"""The picker's figures as Markdown and as pictures."""

import os

import numpy as np

from . import counting, picker
from .drawing import Chart

HEAD = (
    "| picker | n | d = 0.3 s | 0.5 s | 1 s | 2 s | 4 s | R(0.5) by 0.5 s, 95 % | said median / p90 s | residual "
    "median / MAD ms |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)
SHOWN_BASELINES = (
    "STA/LTA 3.5 + AIC",
    "STA/LTA 5 + AIC",
    "STA/LTA 8 + AIC",
    "PhaseNet 0.5, every 0.5 s, 1 in a row",
    "PhaseNet 0.5, every 0.5 s, 4 in a row",
)


def seconds(x):
    return "-" if x is None else "never" if not np.isfinite(x) else "%.2f" % x


def line(name, row):
    if not row:
        return ""
    cells = ["/".join("%.2f" % v for v in r) for r in row["recall"]]
    low, high = row["interval"][1]
    residual = (
        "-" if row["residual_median_ms"] is None else "%+.0f / %.0f" % (row["residual_median_ms"], row["residual_mad_ms"])
    )
    return "| %s | %d | %s | %.2f to %.2f | %s / %s | %s |\n" % (
        name,
        row["n"],
        " | ".join(cells),
        low,
        high,
        seconds(row["said_median_s"]),
        seconds(row["said_p90_s"]),
        residual,
    )


def rate_text(r):
    if not r or not r["hours"]:
        return "-"
    return "%.1f (%d in %.1f h)" % (r["per_hour"], r["count"], r["hours"])


def everyone(out):
    """[(name, tables)] of the network at every point, then what stands beside it."""
    rows = list(out["network"].items())
    if "sent" in out:
        rows.append(("shipped, when the line went out (packets of 0.1 s)", out["sent"]))
    if any(r for r in out["classical"]["recall"].values() if r and r["recall"][-1][-1] > 0):
        rows.append(("the daemon's classical picker", out["classical"]))
    return rows + [(name, out["baselines"][name]) for name in SHOWN_BASELINES if name in out.get("baselines", {})]


def recall_section(out):
    text = [
        "R(0.1) / R(0.3) / R(0.5): the share of labelled onsets with a pick no further off than that many seconds, said no "
        "later than d after the label. Each pick counts once, as it was first said.\n\n"
    ]
    for name in picker.NAMES:
        body = "".join(line(who, rows["recall"].get(name)) for who, rows in everyone(out))
        if body:
            text.append("**%s**\n\n%s%s\n" % (name, HEAD, body))
    return "".join(text)


def false_section(out):
    sets = [n for n in picker.NOISE if any(n in t["false"] and t["false"][n]["hours"] for _, t in everyone(out))]
    text = [
        "False P picks per station-hour (times 24: per station-day)\n\n| picker | %s |\n|---|%s\n"
        % (" | ".join(sets), "---|" * len(sets))
    ]
    for who, rows in everyone(out):
        text.append("| %s | %s |\n" % (who, " | ".join(rate_text(rows["false"].get(n)) for n in sets)))
    return "".join(text) + "\n"


def revised_section(out):
    """What a second look made of the picks, if there was one."""
    said = lambda tables: any(r and r["recall"][-1][-1] > 0 for t in tables.values() for r in t["recall"].values())
    if not said(out["confirmed"]):
        return "No second look: no pick was revised or confirmed in these runs.\n\n"
    text = []
    for title, kind in (
        ("Revised: of each pick the newest word by then, withdrawn ones not counted as false", "revised"),
        ("Confirmed: only what the second look stood by, from the moment at which it did", "confirmed"),
        ("Local: last words (so none counts before its last look), neither withdrawn nor called a teleseism, a blast, noise or "
         "the instrument", "local"),
    ):
        text.append("**%s**\n\n%s" % (title, HEAD))
        for name in (n for n, row in picker.NAMES.items() if row[1] == "held" and (kind != "local" or n.startswith("all"))):
            text += [line("%s: %s" % (name, who), rows["recall"].get(name)) for who, rows in out[kind].items()]
        sets = [n for n in picker.NOISE if any(t["false"][n]["hours"] for t in out[kind].values())]
        text.append("\n| false P per hour | %s |\n|---|%s\n" % (" | ".join(sets), "---|" * len(sets)))
        text += ["| %s | %s |\n" % (who, " | ".join(rate_text(t["false"][n]) for n in sets)) for who, t in out[kind].items()]
        text.append("\n")
    return "".join(text)


def forms_section(out):
    text = ["**The held-out windows in other forms**\n\n" + HEAD]
    for name, rows in out["forms"].items():
        for who, row in rows.items():
            text.append(line("%s, %s" % (name, who), row))
    text.append("\n**Single quakes** (onsets found by STA/LTA and AIC near the expected time, so automatic)\n\n" + HEAD)
    for name, rows in out["single_quakes"].items():
        for who, row in rows.items():
            text.append(line("%s, %s" % (name, who), row))
    return "".join(text) + "\n"


def noise_section(out):
    text = [
        "**Held-out noise put on the held-out windows**; ratio: RMS of the 2 s after P over that of the noise, "
        "vertical, 2 to "
        "20 Hz\n\n" + HEAD
    ]
    for ratio, rows in out["noise_on_top"].items():
        for who, row in rows.items():
            text.append(line("ratio %s, %s" % (ratio, who), row))
    return "".join(text) + "\n"


def artefact_section(out):
    names = list(next(iter(out["artefacts"].values())))
    text = [
        "Artefacts of 10 to 200 times the noise in quiet held-out noise: share with a new P pick within 8 s\n\n| "
        "artefact | %s |\n|---|%s\n"
        % (" | ".join(names), "---|" * len(names))
    ]
    for kind, row in out["artefacts"].items():
        text.append(
            "| %s (%d) | %s |\n"
            % (kind, next(iter(row.values()))["n"], " | ".join("%.2f" % r["share"] for r in row.values()))
        )
    return "".join(text) + "\n"


def s_section(out):
    text = ["S picks\n\n" + HEAD]
    for level, rows in out["s"].items():
        for name, row in rows["recall"].items():
            text.append(line("%s: %s" % (level, name), row))
    sets = [n for n in picker.NOISE if any(rows["false"][n]["hours"] for rows in out["s"].values())]
    text.append("\nFalse S picks per station-hour\n\n| threshold | %s |\n|---|%s\n" % (" | ".join(sets), "---|" * len(sets)))
    for level, rows in out["s"].items():
        text.append("| %s | %s |\n" % (level, " | ".join(rate_text(rows["false"][n]) for n in sets)))
    text.append(
        "\nS said more than 0.5 s before the labelled S (S - P over 2 s, held out): %s\n"
        % "; ".join("%d of %d at %s" % (*rows["early"], level) for level, rows in out["s"].items())
    )
    text.append(
        "\nConfusion (held-out windows and Corinth, S - P over 2 s; a pick of that name within 0.5 s of the label; "
        "noise: 20 s before "
        "P)\n\n| point | truth | said P | said S | neither | n |\n|---|---|---|---|---|---|\n"
    )
    for name, rows in out["confusion"].items():
        for truth, row in rows.items():
            text.append("| %s | %s | %d | %d | %d | %d |\n" % (name, truth, *row))
    return "".join(text) + "\n"


def calibration_section(out):
    text = [
        "Calibration: picks from 20 s before P to 0.5 s after it on held-out and validation windows and Corinth, so "
        "about one P in 20 s of "
        "record; \"with quiet noise\" adds the held-out noise sets, where nothing is right\n\n| picks | n | mean said "
        "| right | expected "
        "calibration error |\n|---|---|---|---|---|\n"
    ]
    for name, r in out["reliability"].items():
        if r:
            text.append("| %s | %d | %.2f | %.2f | %.3f |\n" % (name, r["n"], r["mean_said"], r["mean_right"], r["error"]))
    return "".join(text) + "\n"


def invariance_section(out):
    text = [
        "Position: the held-out windows with P at ten phases of the hop, at quarters of a sample, in packets of 0.05 "
        "to 1 s\n\n| point | what "
        "varies | records | said in all / in some | spread of the time, median / p95 s | from its median, p95 s | "
        "spread of the "
        "probability, median / p95 |\n|---|---|---|---|---|---|---|\n"
    ]
    for name, rows in out["invariance"].items():
        for what, r in rows.items():
            if r:
                text.append(
                    "| %s | %s | %d | %d / %d | %.3f / %.3f | %.3f | %.2f / %.2f |\n"
                    % (
                        name,
                        what,
                        r["records"],
                        r["said_in_all"],
                        r["said_in_some"],
                        r["time_range_median_s"],
                        r["time_range_p95_s"],
                        r["time_from_median_p95_s"],
                        r["probability_range_median"],
                        r["probability_range_p95"],
                    )
                )
    return "".join(text) + "\n"


def sweep_section(out):
    names = ("held-out windows", "Telica 3C (region never seen)", "Ridgecrest after the M 6.4, automatic labels")
    noise = ("before P, held-out windows", "Ridgecrest quiet", "MEMS, held-out quakes", "CM, held-out stations")
    text = [
        "Every threshold: R(0.5) by 0.5 / 1 / 4 s, and false P per hour\n\n| P threshold | %s | %s |\n|---|%s\n"
        % (" | ".join(names), " | ".join(noise), "---|" * (len(names) + len(noise)))
    ]
    for row in out["sweep"]:
        cells = ["/".join("%.2f" % row["recall"][n]["recall"][i][2] for i in (1, 2, 4)) for n in names if row["recall"][n]]
        text.append(
            "| %.3g | %s | %s |\n"
            % (row["threshold"], " | ".join(cells), " | ".join("%.1f" % (row["false"][n]["per_hour"] or 0) for n in noise))
        )
    return "".join(text) + "\n"


SECTIONS = (
    ("P picks", recall_section),
    ("False picks", false_section),
    ("Every threshold", sweep_section),
    ("Revised picks", revised_section),
    ("Other stations, rates and starts", forms_section),
    ("Noise and artefacts", noise_section),
    ("", artefact_section),
    ("S, and P taken for S", s_section),
    ("Calibration", calibration_section),
    ("Position", invariance_section),
)
NEEDS = {
    forms_section: "forms",
    noise_section: "noise_on_top",
    artefact_section: "artefacts",
    s_section: "s",
    calibration_section: "reliability",
    invariance_section: "invariance",
}


def points_text(out):
    return (
        "Thresholds for %s false P an hour of calibration noise (%s; reported on nowhere else), then fixed: %s. Also "
        "the shipped ones.\n\n"
        % (
            ", ".join(out["thresholds"]),
            "%.1f h" % (out["calibration"][0]["hours"] if out.get("calibration") else 0),
            ", ".join("%.3f" % t for t in out["thresholds"].values()),
        )
    )


def markdown(out):
    text = [points_text(out)]
    for title, section in SECTIONS:
        if NEEDS.get(section, "network") in out:
            text.append(("### %s\n\n" % title if title else "") + section(out))
    return "".join(text)


# ---- pictures ---------------------------------------------------------------------------------------------------------


def against_time(out, folder):
    chart = Chart("P said, held-out windows", "seconds after P", "share said, within 0.5 s of the label", (0, 2), (0, 1))
    for name, curve in out["curves"].items():
        after = np.sort(np.maximum(curve["after_s"], 0))
        points = [(0, 0)] + [(t, (k + 1) / curve["n"]) for k, t in enumerate(after) if t <= 2]
        chart.line(points + [(2, points[-1][1])], name)
    for name, colour in zip(SHOWN_BASELINES[:4], (3, 4, 5, 6)):
        if name in out.get("baselines", {}):
            row = out["baselines"][name]["recall"]["held-out windows"]["recall"]
            chart.line(
                [(d, r[2]) for d, r in zip(counting.DELAYS, row) if d <= 2],
                name.replace(", every 0.5 s, 1 in a row", ""),
                colour,
                True,
                True,
            )
    chart.write(os.path.join(folder, "recall.svg"))


def residuals(out, folder):
    name = "shipped thresholds" if "shipped thresholds" in out["curves"] else next(iter(out["curves"]))
    values = np.array(out["curves"][name]["residual_s"]) * 1e3
    edges = np.arange(-300, 301, 20)
    counts, _ = np.histogram(np.clip(values, -299, 299), edges)
    chart = Chart(
        "Pick less label, held-out windows",
        "ms (beyond 300 in the last bar)",
        "picks",
        (-300, 300),
        (0, max(counts.max(), 1) * 1.1),
    )
    chart.bars(edges, counts, "%s, n = %d" % (name, len(values)))
    chart.write(os.path.join(folder, "residuals.svg"), "top left")


def trade(out, folder):
    """Recall against false picks, held out."""
    where, quiet = "all held out but Telica Z", "Ridgecrest quiet"
    chart = Chart(
        "R(0.5) by 0.5 s, all held out, against false picks",
        "false P per station-hour, Ridgecrest quiet",
        "recall",
        (0.1, 50),
        (0, 1),
        True,
    )
    show = lambda rows: sorted(
        (max(r["false"][quiet]["per_hour"] or 0, 0.1), r["recall"][where]["recall"][1][2]) for r in rows
    )
    chart.line(show(out["sweep"]), "Tocsin", dots=True)
    family = lambda start: [r for n, r in out.get("baselines", {}).items() if n.startswith(start)]
    if family("STA"):
        chart.line(show(family("STA")), "STA/LTA + AIC", dots=True)
    single = [r for n, r in out.get("baselines", {}).items() if n.startswith("Phase") and ", 1 in" in n]
    if single:
        chart.line(show(single), "PhaseNet every 0.5 s", dots=True)
    chart.write(os.path.join(folder, "trade.svg"))


def reliability(out, folder):
    chart = Chart("Is a pick right as often as it says?", "probability said", "share right", (0, 1), (0, 1))
    chart.line([(0, 0), (1, 1)], None, "#999999", True)
    for k, (name, r) in enumerate((n, r) for n, r in out["reliability"].items() if r and "last word" not in n):
        chart.line([(row["said"], row["right"]) for row in r["rows"] if row["n"] >= 3], name, k, False, True)
    chart.write(os.path.join(folder, "reliability.svg"))


def pictures(out, folder):
    for draw, need in ((against_time, "curves"), (residuals, "curves"), (trade, "sweep"), (reliability, "reliability")):
        if need in out:
            draw(out, folder)
