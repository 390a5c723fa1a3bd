"""Writes a tree's files down as apk does (apk-package(5), "installed"): F a directory, R a file, Z its SHA-1."""

import base64
import hashlib
import os
import sys

root = sys.argv[1]
record = os.path.join(root, "lib/apk/db/installed")
lines = ["C:Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=", "P:made", "V:1-r0", "A:x86_64"]
for directory, folders, names in os.walk(root):
    folders.sort()
    files = [name for name in sorted(names) if not os.path.islink(os.path.join(directory, name))]
    if files:
        lines.append("F:" + os.path.relpath(directory, root))
    for name in files:
        with open(os.path.join(directory, name), "rb") as file:
            digest = base64.b64encode(hashlib.sha1(file.read()).digest()).decode()
        lines += ["R:" + name, "a:0:0:644", "Z:Q1" + digest]
os.makedirs(os.path.dirname(record))
with open(record, "w", encoding="utf-8", errors="surrogateescape") as file:
    file.write("\n".join(lines) + "\n\n")
