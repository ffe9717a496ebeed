"""The lines of a bench run, as a table of what was asked and for machines.

    table.py LINES [--json FILE]

    bench NAME VALUE UNIT [(... best X ... asked: at least|at most X ...)]
    ratio R vs PEER[: WHAT] [(asked: X; best runs X)]

What is printed by any bench in this form is in the table when something was asked of it.
"""
import argparse
import json
import os
import re
import time

BENCH = re.compile(r"bench (\S+) (\S+)(?: ([^(]*))?(?:\((.*)\))?$")
RATIO = re.compile(r"ratio (\S+) vs ([^:(]+)(?:: ([^(]*))?(?:\((.*)\))?$")
ASKED = re.compile(r"asked: (at least |at most )?([-\d.]+)")
BEST = re.compile(r"best(?: runs)? ([-\d.]+)")


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


def read(lines):
    """Rows of both kinds; everything else is a note."""
    rows, notes = [], []
    for line in lines:
        line = line.rstrip("\n")
        bench, ratio = BENCH.match(line), RATIO.match(line)
        if bench:
            name, value, unit, note = bench.groups()
            row = {"kind": "bench", "what": name, "value": number(value), "unit": (unit or "").strip()}
        elif ratio:
            value, peer, what, note = ratio.groups()
            before = rows[-1]["what"] if rows else ""
            row = {"kind": "ratio", "what": (what or before).strip(), "value": number(value), "unit": "",
                   "peer": peer.strip()}
        else:
            notes.append(line)
            continue
        asked, best = ASKED.search(note or ""), BEST.search(note or "")
        if asked:
            row.update(asked=float(asked.group(2)), at_most=asked.group(1) == "at most ")
        row.update(best=number(best.group(1)) if best else None, note=note or "")
        rows.append(row)
    return rows, notes


def reached(row):
    if row["value"] is None:
        return "?"
    good = row["value"] <= row["asked"] if row["at_most"] else row["value"] >= row["asked"]
    return "reached" if good else "missed"


def show(rows):
    print("\n%-72s %-24s %9s %9s %9s" % ("what", "against", "asked", "measured", "best run"))
    for row in rows:
        if "asked" not in row:
            continue
        asked = ("<= %g" if row["at_most"] else "%g") % row["asked"]
        best = "" if row["best"] is None else "%.4g" % row["best"]
        value = "?" if row["value"] is None else "%.4g" % row["value"]
        print("%-72s %-24s %9s %9s %9s  %s" % (row["what"], row.get("peer", row["unit"]), asked, value, best, reached(row)))


def main():
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("lines")
    parse.add_argument("--json")
    opt = parse.parse_args()
    with open(opt.lines, encoding="utf-8") as file:
        rows, notes = read(file)
    show(rows)
    print("load average now %s" % " ".join("%.1f" % load for load in os.getloadavg()))
    if opt.json:
        with open(opt.json, "w", encoding="utf-8") as file:
            json.dump({"date": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()), "rows": rows, "notes": notes}, file, indent=1)


if __name__ == "__main__":
    main()
