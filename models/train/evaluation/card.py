"""Fills the generated part of a card, between two marks, and puts its pictures beside it."""

import os
import shutil

BEGIN, END = "<!-- begin: ./run evaluate -->\n", "<!-- end: ./run evaluate -->\n"


def fill(folder, text, pictures):
    """Replace what stands between the marks of folder/card.md (at its end when it has none); copy *.svg of `pictures`."""
    path = os.path.join(folder, "card.md")
    with open(path) as f:
        old = f.read()
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    names = sorted(n for n in os.listdir(pictures) if n.endswith(".svg"))
    for name in names:
        shutil.copyfile(os.path.join(pictures, name), os.path.join(folder, name))
    shown = "".join("![%s](%s)\n" % (name[:-4], name) for name in names)
    with open(path, "w") as f:
        f.write(before + BEGIN + "\n" + shown + "\n" + text + END + after)
