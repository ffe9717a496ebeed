"""Count cases in meson's test log: each cmocka case counts, a program without cases counts as one."""
import json
import re
import sys


def cases(record):
    text = record.get("stdout", "") + record.get("stderr", "")
    passed = len(re.findall(r"^\[       OK \] ", text, re.M))
    failed = len(re.findall(r"^\[  FAILED  \] [A-Za-z_0-9]+$", text, re.M)) // 2
    skipped = re.findall(r"^\[  SKIPPED \] ([A-Za-z_0-9]+)$", text, re.M)
    return passed, failed, sorted(set(skipped))


def count(path):
    passed = failed = 0
    skipped = []
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            record = json.loads(line)
            ok, bad, left = cases(record)
            name = record["name"].split(":")[-1].strip()
            skipped += ["%s: %s" % (name, case) for case in left]
            if record["result"] == "SKIP":
                skipped.append(name)
            elif record["result"] in ("OK", "EXPECTEDFAIL"):
                passed += max(ok, 0 if left else 1)
            else:
                passed += ok
                failed += max(bad, 1)
                print("failed: %s (%s)" % (name, record["result"]))
    return passed, failed, skipped


def main():
    passed, failed, skipped = count(sys.argv[1])
    for name in skipped:
        print("skipped: %s" % name)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
