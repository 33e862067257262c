#!/usr/bin/env bash
# build-image.sh CACHE WHEEL: makes CACHE/{rootfs.img,vmlinuz,initrd.img,recipe}, a Debian 12 of arm64 for run-in-board.sh.
# Returns at once where the recipe (this directory's scripts, constraints.txt, what Gridlink depends on) is still the same.
# WHEEL is Gridlink's own. Its dependencies are fetched for arm64 and installed in the image as docs/board.md says.
# Needs root (chroot), a Debian host with apt and binfmt_misc. BOARD_MIRROR: a Debian mirror, else the one that apt uses.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
[ $# = 2 ] || { sed -n '2,5p' "$0" >&2; exit 2; }
out=$1 wheel=$2
debs=python3,python3-venv,procps,iproute2,util-linux,systemd,systemd-sysv
platforms="manylinux2014_aarch64 manylinux_2_17_aarch64 manylinux_2_28_aarch64 manylinux_2_31_aarch64 manylinux_2_34_aarch64 manylinux_2_36_aarch64"
modules="virtio_mmio virtio_rng virtio_blk crc32c_generic ext4 9pnet_virtio 9p"  # in the order of their dependencies
image_mb=1024  # sparse

die() { echo "build-image.sh: $*" >&2; exit 1; }
say() { printf '[image %4d s] %s\n' "$SECONDS" "$*" >&2; }
logged() { # logged LOG WHAT COMMAND...: the log's end is shown where the command fails
  local log=$out/$1 what=$2; shift 2
  "$@" >"$log" 2>&1 || { tail -20 "$log" >&2; die "$what failed: the whole log is $log"; }
}

mkdir -p "$out"
out=$(cd "$out" && pwd)
exec 9>"$out/lock"
flock -n 9 || die "another build is running in $out"
dependencies=$(sed -n '/^dependencies = \[/,/^\]/p' "$repository/pyproject.toml")
recipe=$({ echo "$dependencies"; cat "$here/build-image.sh" "$here"/guest/* "$repository/constraints.txt"; } | sha256sum | cut -d' ' -f1)
if [ -s "$out/rootfs.img" ] && [ "$(cat "$out/recipe" 2>/dev/null)" = "$recipe" ]; then exit 0; fi
rm -f "$out/recipe"
say "building the board's image in $out: once, some minutes"

[ "$(id -u)" = 0 ] || die "the image is built as root (it needs chroot); once it is there, anybody can use it"
missing=()
for tool in qemu-aarch64-static:qemu-user-static mmdebstrap:mmdebstrap arch-test:arch-test mke2fs:e2fsprogs cpio:cpio \
  depmod:kmod qemu-system-aarch64:qemu-system-arm; do
  command -v "${tool%%:*}" >/dev/null || missing+=("${tool#*:}")
done
[ ${#missing[@]} = 0 ] || die "programs are missing: apt-get install ${missing[*]}"
sources=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true)
mirror=${BOARD_MIRROR:-$(sed -n 's,^URIs: *\([^ ]*\)/debian/*$,\1,p; s,^deb .*\(http[^ ]*\)/debian/* .*,\1,p' <<<"$sources" | sed -n 1p)}
[ -n "$mirror" ] || die "no Debian mirror in this machine's apt sources: set BOARD_MIRROR"

# An apt of its own for arm64: the machine's own is left as it is, but for its proxies.
apt=$out/apt
rm -rf "$apt"
mkdir -p "$apt"/{lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d,debs}
: >"$apt/status"
{
  apt-config dump | grep '^Acquire::' || true
  cat <<CONF
APT::Architecture "arm64"; APT::Architectures { "arm64"; }; APT::Sandbox::User "root"; Acquire::Languages "none";
Acquire::Retries "3"; Dir::Etc "$apt/etc"; Dir::State "$apt"; Dir::State::Lists "$apt/lists"; Dir::State::status "$apt/status";
Dir::Cache "$apt/cache"; Dir::Etc::Trusted "/etc/apt/trusted.gpg"; Dir::Etc::TrustedParts "/etc/apt/trusted.gpg.d";
CONF
} >"$apt/apt.conf"
signed="deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror"
printf '%s\n' "$signed/debian bookworm main" "$signed/debian bookworm-updates main" \
  "$signed/debian-security bookworm-security main" >"$apt/etc/sources.list"
export APT_CONFIG=$apt/apt.conf
logged apt-update.log "apt-get update" apt-get update -qq --error-on=any

# The kernel, and an initrd by hand: a busybox and the modules that find the disk and the shared directories.
kernel=$out/kernel
rm -rf "$kernel"
mkdir -p "$kernel"
package=$(apt-cache depends linux-image-arm64 | awk '/Depends:/{print $2; exit}')
(cd "$apt/debs" && logged apt-kernel.log "the download of $package" apt-get download -qq "$package" busybox-static)
for deb in "$apt"/debs/*.deb; do dpkg-deb -x "$deb" "$kernel"; done
version=$(ls "$kernel/lib/modules")
cp "$kernel/boot/vmlinuz-$version" "$out/vmlinuz"
depmod -b "$kernel" "$version"
initrd=$out/initrd
rm -rf "$initrd"
mkdir -p "$initrd"/{bin,mod,proc,sys,dev,root}
cp "$kernel/bin/busybox" "$initrd/bin/busybox"
number=100
declare -A taken=()
for module in $modules; do
  needed=$(modprobe -d "$kernel" -S "$version" --show-depends "$module") || die "module $module isn't in $package"
  while read -r verb file _; do
    [ "$verb" = insmod ] && [ -z "${taken[$file]:-}" ] || continue
    taken[$file]=1
    cp "$file" "$initrd/mod/$number-$(basename "$file")"
    number=$((number + 1))
  done <<<"$needed"
done
install -m 755 "$here/guest/initrd-init" "$initrd/init"
(cd "$initrd" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet | gzip -6) >"$out/initrd.img"
say "kernel $version"

# The root file system; its programs run here by qemu-user and binfmt_misc.
binfmt=/proc/sys/fs/binfmt_misc registered=''
forget() { [ -z "$registered" ] || echo -1 >"$binfmt/gridlink-aarch64" 2>/dev/null || true; }
trap forget EXIT
if ! arch-test arm64 >/dev/null 2>&1; then
  [ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt || die "binfmt_misc can't be mounted: is this a container?"
  magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  [ -e $binfmt/gridlink-aarch64 ] ||
    printf '%s' ":gridlink-aarch64:M::$magic:$mask:$(command -v qemu-aarch64-static):OCF" >$binfmt/register ||
    die "programs of arm64 can't be made known to binfmt_misc"
  registered=yes
  arch-test arm64 >/dev/null 2>&1 || die "programs of arm64 don't run here, even with binfmt_misc"
fi
root=$out/rootfs
rm -rf "$root"
logged mmdebstrap.log mmdebstrap mmdebstrap --mode=root --variant=minbase --architectures=arm64 --include="$debs" \
  --aptopt='Acquire::Retries "3"' --aptopt='Acquire::Languages "none"' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --keyring=/usr/share/keyrings/debian-archive-keyring.gpg bookworm "$root" "$apt/etc/sources.list"
say "Debian: $(du -sm "$root" | cut -f1) MiB"

# Wheels of arm64, and an offline installation from them.
mkdir -p "$root"/board/{wheels,share,job}
targets=()
for platform in $platforms; do targets+=(--platform "$platform"); done
logged pip-download.log "pip download" "${PYTHON:-python3}" -m pip download -q --only-binary=:all: "${targets[@]}" \
  --implementation cp --python-version 3.11 -c "$repository/constraints.txt" -d "$root/board/wheels" "$wheel"
in_root() { chroot "$root" env -i PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/root "$@"; }
logged venv.log "python3 -m venv" in_root python3 -m venv /opt/gridlink
logged pip-install.log "pip install" in_root /opt/gridlink/bin/pip install -q --no-index --find-links /board/wheels gridlink
say "wheels: $(cd "$root/board/wheels" && ls -- *.whl | sed 's/-[^-]*-[^-]*-[^-]*$//' | tr '\n' ' ')"

install -m 755 "$kernel/bin/busybox" "$here/guest/init" "$here/guest/run-job" "$root/board/"
install -m 644 "$here/guest/board-job.service" "$root/etc/systemd/system/"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../board-job.service "$root/etc/systemd/system/multi-user.target.wants/"
ln -sf multi-user.target "$root/etc/systemd/system/default.target"
echo board >"$root/etc/hostname"
echo '127.0.0.1 localhost board' >"$root/etc/hosts"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
rm -f "$out/rootfs.img.new"
logged mke2fs.log mke2fs mke2fs -q -t ext4 -L board -m 0 -O ^has_journal -d "$root" "$out/rootfs.img.new" "${image_mb}M"
mv "$out/rootfs.img.new" "$out/rootfs.img"
rm -rf "$root" "$initrd" "$kernel" "$apt"
chmod a+r "$out"/{rootfs.img,vmlinuz,initrd.img}
echo "$recipe" >"$out/recipe"
say "done: $out/rootfs.img, $(du -m "$out/rootfs.img" | cut -f1) MiB"
