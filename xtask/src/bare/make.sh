# Makes the bare system below $1 with the checkout $2: the release's smallest set of packages, what README.md asks for, and
# rustup with one toolchain. Run as root. What the machine needs to reach its archives and registries goes in as it is:
# apt's sources and options, name resolution, certificates, pip's and Cargo's configuration.
set -eu
root=$1 checkout=$2
home=$root/home/newcomer
options=
IFS='
'
for option in $APT_OPTIONS; do options="$options--aptopt=$option
"; done
# shellcheck disable=SC2086 # One option a line.
mmdebstrap --quiet --variant=minbase --include=ca-certificates,gcc,libc6-dev $options "$SUITE" "$root" "$SOURCES"
unset IFS

for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do
    if [ -f "$file" ]; then cp -L "$file" "$root$file"; fi
done
if [ -d /usr/local/share/ca-certificates ]; then
    cp -R /usr/local/share/ca-certificates "$root/usr/local/share/"
    chroot "$root" update-ca-certificates >/dev/null 2>&1
fi

mkdir -p "$home/.cargo/bin" "$home/.rustup/toolchains"
cp "$RUSTUP" "$home/.cargo/bin/rustup"
for proxy in cargo cargo-clippy cargo-fmt clippy-driver rustc rustdoc rustfmt; do
    ln "$home/.cargo/bin/rustup" "$home/.cargo/bin/$proxy"
done
cp -R "$SYSROOT" "$home/.rustup/toolchains/$TOOLCHAIN"
for file in config.toml config; do
    if [ -f "$CARGO_FOLDER/$file" ]; then cp "$CARGO_FOLDER/$file" "$home/.cargo/"; fi
done
cp -R "$checkout" "$home/layerwatch"
