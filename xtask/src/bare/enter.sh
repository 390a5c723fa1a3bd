# Runs the shell line $2 in the checkout of the bare system below $1, with kernel file systems and an environment of its
# own. Run as root in a mount namespace of its own, so that no mount outlives it; and by pivot_root, since the kernel lets no
# process below a chroot make a user namespace, and shows such a process's paths from the root above.
set -eu
root=$1 line=$2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 run "$root/run"
home=/home/newcomer
set -- HOME="$home" USER=root PATH="$home/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Of the caller's environment only what says how to reach the network.
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE \
    REQUESTS_CA_BUNDLE PIP_CERT PIP_INDEX_URL RUSTUP_AUTO_INSTALL; do
    value=$(printenv "$name" || true)
    if [ -n "$value" ]; then set -- "$@" "$name=$value"; fi
done
cd "$root"
mkdir -p .outside
pivot_root . .outside
umount -l /.outside
exec env -i "$@" /bin/sh -c "cd $home/layerwatch && $line"
