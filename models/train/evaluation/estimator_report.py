"""The estimator's figures as Markdown and as pictures."""

import os

import numpy as np

from .drawing import Chart
from .estimator import SECONDS


def cell(row):
    if not row:
        return "- | - | -"
    std = "%.2f" % row["std"] + (" (%.2f to %.2f)" % row["std_interval"] if row["std_interval"] else "")
    network = (
        "-"
        if row["network_mean"] is None
        else "%d: %+.2f / %s"
        % (row["network_n"], row["network_mean"], "-" if row["network_std"] is None else "%.2f" % row["network_std"])
    )
    return "%d of %d | %+.2f / %s | %s" % (row["n"], row["quakes"], row["mean"], std, network)


def magnitude_section(out):
    text = [
        "Error of the magnitude, said less catalogue: mean / standard deviation (95 %, bootstrap over quakes). "
        "Network: median over the "
        "stations of a quake, three or more. Once the pick belongs to an origin the magnitude is the one at the distance "
        "that gives (column \"located\"). Beside it the regression on Pv and the catalogue's distance, "
        "cross-validated over quakes, "
        "on the same records.\n\n"
    ]
    for title, rows in out["magnitude"].items():
        if not any(rows.values()):
            continue
        text.append(
            "**%s**\n\n| s after P | records of quakes | mean / std | network | within 1 sigma | \"at least\" | "
            "located | Pv and R: records | mean / std | network | constant |\n|---|---|---|---|---|---|---|---|---|---|---|\n" % title
        )
        for t, r in rows.items():
            if r:
                text.append(
                    "| %s | %s | %.0f %% | %.0f %% | %.0f %% | %s | %.2f |\n"
                    % (t, cell(r["network"]), *(100 * r[k] for k in ("coverage", "at_least", "located")), cell(r["classical"]),
                       r["constant"])
                )
        text.append("\n")
    return "".join(text)


def other_section(out):
    text = [
        "Mean error at 3 s for M 4 to 6, by region: %s\n\n"
        % "; ".join(
            "%s %+.2f (n = %d, %.2f to %.2f)" % (region, b["mean"], b["n"], *b["interval"])
            for region, b in out["bias"].items()
        )
    ]
    text.append(
        "Records without a pick of the runtime within 1 s of the onset: %d; with: %d\n\n"
        % (out["missed"]["records"], out["missed"]["said"])
    )
    return "".join(text)


def sp_section(out):
    text = []
    for title, rows in out["s_minus_p"].items():
        text.append(
            "**%s**, S - P under 15 s\n\n| s after P | S to come: n | error mean / std s | MAD s | median abs. s | "
            "within 1 sigma | S has come: n "
            "| mean / std s | MAD s | median abs. s | within 1 sigma |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
            % title
        )
        for t, r in rows.items():
            cells = [
                (
                    "%d | %+.1f / %.1f | %.1f | %.1f | %.0f %%"
                    % (c["n"], c["mean"], c["std"], c["mad"], c["median_abs"], 100 * c["coverage"])
                    if c
                    else "- | - | - | - | -"
                )
                for c in (r.get("to come"), r.get("has come"))
            ]
            text.append("| %s | %s |\n" % (t, " | ".join(cells)))
        text.append("\n")
    return "".join(text)


def large_section(out):
    text = [
        "Upper bound: magnitude + 2 sigma, none where it says \"at least\" (a bound that is not stated is never wrong: see "
        "how often that is); short: the bound lies more than 0.5 below "
        "the truth.\n\n| s after P | real "
        "M >= 6.5: n | mean / std | \"at least\" | short | simulated M 6.5 to 8: n | mean / std | \"at least\" | "
        "short |\n|---|---|---|---|---|---|---|---|"
        "---|\n"
    ]
    for t in map(str, SECONDS):
        cells = [
            (
                "%d | %+.2f / %.2f | %.0f %% | %d" % (r["n"], r["mean"], r["std"], 100 * r["at_least"], r["short"])
                if r
                else "- | - | - | -"
            )
            for r in (out["large"][kind].get(t) for kind in ("real", "simulated"))
        ]
        text.append("| %s | %s |\n" % (t, " | ".join(cells)))
    return "".join(text) + "\n"


def events_section(out):
    real = [e for e in out["events"] if not e["set"].startswith("sim")]
    text = [
        "The daemon's own messages (default configuration, no packet delay): first and last word on each catalogued "
        "quake\n\n| | quakes | error of the "
        "first magnitude, mean / std | within 1 sigma | first word after origin, median s | last magnitude, mean / "
        "std | messages whose magnitude_upper is more than 0.5 below the truth |\n|---|---|---|---|---|---|---|\n"
    ]
    for title, rows in (
        ("recorded", real),
        ("recorded, M >= 3.5", [e for e in real if e["magnitude"] >= 3.5]),
        ("simulated", [e for e in out["events"] if e["set"].startswith("sim")]),
    ):
        if rows:
            first = np.array([e["first"]["magnitude"] - e["magnitude"] for e in rows])
            last = np.array([e["last"]["magnitude"] - e["magnitude"] for e in rows])
            inside = np.mean(np.abs(first) < np.array([e["first"]["sigma"] for e in rows]))
            text.append(
                "| %s | %d | %+.2f / %.2f | %.0f %% | %.1f | %+.2f / %.2f | %d of %d |\n"
                % (
                    title,
                    len(rows),
                    first.mean(),
                    first.std(),
                    100 * inside,
                    np.median([e["first"]["s"] for e in rows]),
                    last.mean(),
                    last.std(),
                    sum(e["short"] for e in rows),
                    sum(e["words"] for e in rows),
                )
            )
    return "".join(text) + "\n"


def markdown(out):
    return (
        "### Magnitude\n\n"
        + magnitude_section(out)
        + other_section(out)
        + "### S - P\n\n"
        + sp_section(out)
        + "### Large quakes\n\n"
        + large_section(out)
        + "### First words\n\n"
        + events_section(out)
    )


def pictures(out, folder):
    chart = Chart("Scatter of the single-station magnitude", "seconds after P", "standard deviation", (0, 10), (0, 1.2))
    for k, title in enumerate(("all held out", "all of training quakes")):
        for who, dashed, name in (("network", False, "network"), ("classical", True, "Pv and distance")):
            rows = [(float(t), r[who]["std"]) for t, r in out["magnitude"].get(title, {}).items() if r and r[who]]
            chart.line(rows, "%s, %s" % (title, name), k, dashed, True)
    chart.write(os.path.join(folder, "magnitude.svg"), "top right")
    chart = Chart("Magnitude said 3 s after P", "catalogue", "said", (0, 8), (0, 8))
    chart.line([(0, 0), (8, 8)], None, "#999999", True)
    for name, split in (("training quakes", "train"), ("held out", "heldout")):
        chart.points([(m, s) for m, s, which in out["scatter"] if which == split], name)
    chart.write(os.path.join(folder, "scatter.svg"), "top left")
    chart = Chart("Share of truths within one sigma", "seconds after P", "share (68 % wanted)", (0, 10), (0, 1))
    chart.line([(0, 0.683), (10, 0.683)], None, "#999999", True)
    for title in ("all held out", "all of training quakes"):
        chart.line(
            [(float(t), r["coverage"]) for t, r in out["magnitude"].get(title, {}).items() if r],
            "magnitude, " + title,
            None,
            False,
            True,
        )
    for title, rows in out["s_minus_p"].items():
        chart.line(
            [(float(t), r["to come"]["coverage"]) for t, r in rows.items() if "to come" in r],
            "S - P, " + title.split(",")[0].replace(": phasenet", ""),
            None,
            False,
            True,
        )
    chart.write(os.path.join(folder, "coverage.svg"))
