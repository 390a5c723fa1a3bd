#!/bin/sh
# Runs the program of its own name, less "-newer", in the root that packages of a newer release are unpacked into: they need
# newer libraries than the machine has. What tests make is seen at the same place; /run is its own. The root is a mount, for
# an engine changes how it spreads.
root=$(readlink -f "$(dirname "$(readlink -f "$0")")/../../newer")
exec unshare --mount --propagation private sh -c '
mount --bind "$0" "$0" || exit 1
for place in proc sys dev var/tmp; do mount --rbind "/$place" "$0/$place" || exit 1; done
mount -t tmpfs tmpfs "$0/run" && exec chroot "$0" "$@"' "$root" "$(basename "$0" -newer)" "$@"
