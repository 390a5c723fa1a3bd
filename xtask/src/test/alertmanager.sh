#!/bin/sh
# Alertmanager as Debian packages it reads its templates from /usr/share and from nowhere else. Where the package is only
# unpacked, as beside this file, the program is started where its own /usr/share stands in that place.
unpacked=$(dirname "$(dirname "$(readlink -f "$0")")")/usr
exec unshare --mount sh -c 'mount --bind "$0/share" /usr/share && exec "$0/bin/prometheus-alertmanager" "$@"' "$unpacked" "$@"
