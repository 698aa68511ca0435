#!/bin/sh
# Packs target/dist/shmtool-VERSION-ARCH-linux-musl.tar.gz from the static binary: dist.sh VERSION ARCH. The same commit
# and compiler give the same archive.
set -eu

version=$1 arch=$2
name=shmtool-$version-$arch-linux-musl
directory=target/dist/$name
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"

mkdir -p "$directory/licenses"
cp -r man completions contrib README.md CHANGELOG.md LICENSE-* "$directory"
cp "target/$arch-unknown-linux-musl/release/shmtool" "$directory"

# The binary contains its dependencies, and their licenses want to be passed on with it.
rm -rf target/vendor
cargo vendor --locked --quiet --versioned-dirs target/vendor >/dev/null
cargo tree --locked --edges normal,no-proc-macro --target "$arch-unknown-linux-musl" --prefix none --format '{p}' |
    sed -n 's/^\([^ ]*\) v\([^ ]*\).*/\1-\2/p' | sort -u | grep -v "^shmtool-$version$" |
    while read -r crate; do
        mkdir "$directory/licenses/$crate"
        find "target/vendor/$crate" -maxdepth 1 -type f \
            \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'copyright*' -o -iname 'unlicense*' -o -iname 'notice*' \) \
            -exec cp {} "$directory/licenses/$crate" \;
    done

tar --create --directory target/dist --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" \
    --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' "$name" | gzip --no-name --best >"target/dist/$name.tar.gz"
rm -r "$directory"
