#!/bin/sh
# Runs every verb of shmtool once, and checks the results. Needs an empty /dev/shm and only a small sh, so that it can
# run in an initramfs: see test-kernel.sh. Prints "smoke: N checks passed" at the end.
set -eu

checks=0
fail() {
    echo "smoke: $*" >&2
    exit 1
}

# Runs a command and compares its status and its standard output: check STATUS OUTPUT COMMAND [ARG]...
check() {
    expected_status=$1 expected=$2
    shift 2
    status=0
    actual=$("$@") || status=$?
    [ "$status" = "$expected_status" ] || fail "$*: status $status instead of $expected_status"
    [ "$actual" = "$expected" ] || fail "$*: printed '$actual' instead of '$expected'"
    checks=$((checks + 1))
}

directory=$(mktemp -d)
trap 'rm -r "$directory"' EXIT
cd "$directory"
printf 'some text\n' >file

check 0 'some text' shmtool cat file
check 0 'text' shmtool cat --offset 5 file
check 0 'some text' sh -c 'shmtool cat <file | cat'

check 0 '' shmtool create -s 64K /zeros
check 4 '' shmtool create /zeros
check 0 '' shmtool create --from file /text
check 0 'some text' shmtool cat --shm /text
check 0 '' shmtool create --replace -s 4 /text
check 0 '' shmtool create --resize -s 128K /zeros
check 7 '1234' shmtool create --from file /scoped -- sh -c 'wc -c </dev/shm/scoped >/dev/null; echo 1234; exit 7'
check 3 '' shmtool read-int /scoped
check 0 '' shmtool create --from file --overwrite /zeros
check 0 'some text' shmtool cat --shm --length 9 /zeros
check 0 '3' shmtool create --anonymous -s 4K sum -- sh -c '
    shmtool write-int --file /dev/fd/3 --add 1 >/dev/null & shmtool write-int --file /dev/fd/3 --add 2 >/dev/null &
    shmtool read-int --file /dev/fd/3 --until 3 --timeout 30; wait'

check 0 '' shmtool write-int /counter 42
check 0 '43' shmtool write-int --add /counter 1
check 5 '' shmtool write-int --if 42 /counter 1
check 0 '43' shmtool write-int --if ge:43 --swap /counter 0
check 0 '' sh -c '(sleep 0.2; shmtool write-int /counter 1) & shmtool write-int --if 1 --wait --timeout 30 /counter 2; wait'
check 0 '2' shmtool read-int /counter
check 0 '7' sh -c '(sleep 0.2; shmtool write-int /counter 7) & shmtool read-int --until 7 --timeout 30 /counter; wait'
check 124 '' shmtool read-int --until 8 --timeout 0.1 /counter
check 0 '0x6f736d65' sh -c 'printf "emso" >int; shmtool read-int --file -x int'

check 0 '/counter
/text
/zeros' shmtool ls -q
check 0 '131072 /zeros' sh -c 'shmtool ls --no-header -b -o size,name /zeros | sed "s/  */ /g"'
check 0 'yes' sh -c 'exec 3</dev/shm/zeros; shmtool ls --no-header -o in-use /zeros'
check 0 'open r' sh -c 'exec 3</dev/shm/zeros; shmtool ls --no-header -o access /zeros | sort -u | sed "s/ *$//"'
shmtool ls -J | grep -q '"inodes_free"' || fail 'ls -J'
shmtool ls --summary -J | grep -q '"shmem"' || fail 'ls --summary -J'
shmtool ls --nameless >/dev/null || fail 'ls --nameless'
check 0 "/text -" sh -c 'shmtool ls --everywhere --no-header -o name,place --glob text | sed "s/  */ /g"'
checks=$((checks + 3))

check 5 '' sh -c 'exec 3</dev/shm/zeros; shmtool unlink --unused /zeros'
check 0 '/text' sh -c 'exec 3</dev/shm/zeros; shmtool unlink --everywhere --verbose --glob "[tz]*" | sed "s/ .*//"'
check 0 '' shmtool unlink /zeros /counter
check 3 '' shmtool unlink /zeros
check 0 '' shmtool ls -q

echo "smoke: $checks checks passed"
