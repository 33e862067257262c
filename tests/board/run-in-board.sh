#!/usr/bin/env bash
# run-in-board.sh [options] CACHE COMMAND: boots the 512 MB arm64 board that build-image.sh has made, runs COMMAND by sh as
# root, prints what it says and returns its exit status; 124: the time was over; 125: the board died before its end.
#   -s DIR  a directory of this machine, seen at /board/share, read-only; COMMAND's working directory
#   -i      boot systemd instead of a script
#   -t SEC  for the whole run (default 900)         -m MB  of memory (default 512)
# Every run begins with the same image. QEMU emulates the processor: it says what fits and what works, nothing about speed.
set -euo pipefail
memory_mb=512 share='' limit_s=900 systemd=''
usage() { sed -n '2,8p' "$0" >&2; exit 2; }
while getopts s:t:m:ih option; do
  case $option in
    s) share=$(cd "$OPTARG" && pwd) ;;
    t) limit_s=$OPTARG ;;
    m) memory_mb=$OPTARG ;;
    i) systemd=yes ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# = 2 ] || usage
image=$1
[ -s "$image/recipe" ] || { echo "run-in-board.sh: no image in $image: \`make board-image\` makes it" >&2; exit 125; }
command -v qemu-system-aarch64 >/dev/null || { echo "run-in-board.sh: apt-get install qemu-system-arm" >&2; exit 125; }

job=$(mktemp -d)
qemu=''
clean() {
  if [ -n "$qemu" ]; then
    kill "$qemu" 2>/dev/null || true
    wait "$qemu" 2>/dev/null || true
  fi
  rm -rf "$job"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
printf '%s\n' "$2" >"$job/command"
[ -z "$systemd" ] || echo yes >"$job/systemd"
files=(-fsdev "local,id=job,path=$job,security_model=none" -device virtio-9p-device,fsdev=job,mount_tag=job)
[ -z "$share" ] || files+=(-fsdev "local,id=share,path=$share,security_model=none,multidevs=remap,readonly=on"
  -device virtio-9p-device,fsdev=share,mount_tag=share)

# snapshot=on: what the board writes goes into a temporary file and vanishes.
TMPDIR=$job qemu-system-aarch64 -M virt,gic-version=2 -cpu cortex-a53 -accel tcg,thread=multi -smp 2 -m "$memory_mb" \
  -nodefaults -display none -monitor none -no-reboot -serial "file:$job/console" \
  -kernel "$image/vmlinuz" -initrd "$image/initrd.img" -append "console=ttyAMA0 panic=-1 loglevel=6" \
  -drive "if=none,id=disk,file=$image/rootfs.img,format=raw,snapshot=on" -device virtio-blk-device,drive=disk \
  -object rng-random,id=random,filename=/dev/urandom -device virtio-rng-device,rng=random \
  "${files[@]}" </dev/null >"$job/qemu" 2>&1 &
qemu=$!
status=''
while kill -0 $qemu 2>/dev/null; do
  if [ $SECONDS -ge "$limit_s" ]; then
    status=124
    break
  fi
  sleep 0.2
done
cat "$job/stdout" 2>/dev/null || true
cat "$job/stderr" >&2 2>/dev/null || true
killed=$(cat "$job/console" "$job/dmesg" 2>/dev/null | grep -a -o 'Killed process [0-9]* ([^)]*)' | sort -u || true)
[ -z "$killed" ] || echo "board: the kernel ran out of memory: $killed" >&2
if [ "$status" = 124 ]; then
  echo "board: it took more than $limit_s s" >&2
elif [ -s "$job/status" ]; then
  status=$(cat "$job/status")
else
  status=125
  echo "board: it died before the command's end; its console's last lines:" >&2
  tail -n 20 "$job/console" "$job/qemu" >&2 2>/dev/null || true
fi
exit "$status"
