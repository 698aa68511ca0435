//! `cargo run --example picture` makes the picture in the README anew, from what `shmtool` prints about objects and
//! processes that it makes for it, in a private `/dev/shm`. It needs `python3` and the release build.

use anyhow::{Context, ensure};
use std::fs;
use std::process::Command;

/// A camera that stores frames, a viewer that shows them, and an object that a killed job left behind.
const SCENE: &str = r#"
mount -t tmpfs -o size=1g tmpfs /dev/shm
PATH=$PWD/target/release:$PATH
show() { printf '$ %s\n' "$1"; eval "$1"; }

shmtool create -s 64M /frames
shmtool write-int /frame-count 1041
shmtool create -s 27M /job-8123
cat > "$1/share.py" << 'END'
import mmap, os, sys, time
writes = sys.argv[1] == "record"
kept = []
for name in ("frames", "frame-count"):
    fd = os.open("/dev/shm/" + name, os.O_RDWR if writes else os.O_RDONLY)
    rights = mmap.PROT_READ | (mmap.PROT_WRITE if writes else 0)
    kept.append(mmap.mmap(fd, os.fstat(fd).st_size, prot=rights))
    os.close(fd)
time.sleep(60)
END
for program in camera viewer; do ln -s "$(python3 -c 'import sys; print(sys.executable)')" "$1/$program"; done
PATH=$1:$PATH
here=$PWD
cd "$1"
camera share.py record & camera=$!
viewer share.py show & viewer=$!
cd "$here"
sleep 1
show 'shmtool ls -p'
show 'shmtool unlink -v --unused'
show 'shmtool ls -q'
kill $camera $viewer
"#;

fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut scene = Command::new("unshare");
    scene.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    scene.args([&format!("exec 2>&1; {SCENE}"), "sh"]);
    scene.arg(directory.path());
    let output = scene.output().context("unshare")?;
    let text = String::from_utf8(output.stdout)?;
    // Who runs on the machine besides is not of the picture.
    let lines = text
        .lines()
        .filter(|line| !line.contains(" could not be inspected ("));
    let text = lines.collect::<Vec<_>>().join("\n");
    ensure!(
        text.contains("mapped rw, open rw  camera"),
        "not what is to be shown: {text}"
    );
    let svg = anstyle_svg::Term::new()
        .min_width_px(1020)
        .render_svg(&text);
    fs::create_dir_all("docs")?;
    fs::write("docs/ls-p.svg", svg)?;
    Ok(())
}
