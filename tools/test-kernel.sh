#!/bin/sh
# Boots a kernel under software emulation, with an initramfs that contains only the static binary, busybox and the smoke
# test of all verbs: test-kernel.sh BINARY KERNEL. Succeeds if the smoke test does.
#
# Needs qemu-system-x86_64 and a static busybox.
set -eu

binary=${1:?no BINARY} kernel=${2:?no KERNEL: make test-kernel KERNEL=path/to/vmlinuz}
for program in qemu-system-x86_64 busybox; do
    command -v $program >/dev/null || { echo "test-kernel: no $program" >&2; exit 1; }
done
tools=$(dirname "$0")
directory=$(mktemp -d)
trap 'rm -r "$directory"' EXIT
root=$directory/root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp"
cp "$binary" "$root/bin/shmtool"
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$tools/smoke.sh" "$root/smoke.sh"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs devtmpfs /dev
mkdir /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t proc proc /proc
mount -t sysfs sysfs /sys
ln -s /proc/self/fd /dev/fd
uname -sr
shmtool --version
sh /smoke.sh
poweroff -f
INIT
chmod 755 "$root/init"
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip >"$directory/initramfs"

timeout 600 qemu-system-x86_64 -accel tcg -m 512 -display none -no-reboot -nodefaults -serial stdio \
    -kernel "$kernel" -initrd "$directory/initramfs" -append 'console=ttyS0 quiet panic=-1' </dev/null |
    tr -d '\r' | tee "$directory/log"
grep -q '^smoke: [0-9]* checks passed$' "$directory/log"
