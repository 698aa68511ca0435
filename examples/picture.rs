//! `cargo run --example picture` draws the picture in the README. It creates objects and processes in a private
//! `/dev/shm`, and draws what `shmtool` prints about them. It needs `python3` and the release build.

use anyhow::{Context, ensure};
use std::fs;
use std::process::Command;

/// A shell script: a camera stores frames, a viewer shows them, and a killed job has left an object behind.
const SCENE: &str = r#"
mount -t tmpfs -o size=1g tmpfs /dev/shm
PATH=$PWD/target/release:$PATH
show() { printf '$ %s\n' "$1"; eval "$1"; }

shmtool create -s 64M /frames
shmtool write-int /frame-count 1041
shmtool create -s 27M /job-8123
cat > "$1/share.py" << 'END'
import mmap, os, sys, time
writable = sys.argv[1] == "record"
mappings = []
for name in ("frames", "frame-count"):
    fd = os.open("/dev/shm/" + name, os.O_RDWR if writable else os.O_RDONLY)
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    mappings.append(mmap.mmap(fd, os.fstat(fd).st_size, prot=protection))
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
    // This message depends on the other processes of the machine, so it does not belong in the picture.
    let lines = text
        .lines()
        .filter(|line| !line.contains(" could not be inspected ("));
    let text = lines.collect::<Vec<_>>().join("\n");
    ensure!(
        text.contains("mapped rw, open rw  camera"),
        "unexpected output: {text}"
    );
    let svg = anstyle_svg::Term::new()
        .min_width_px(1020)
        .render_svg(&text);
    fs::create_dir_all("docs")?;
    fs::write("docs/ls-p.svg", svg)?;
    Ok(())
}
