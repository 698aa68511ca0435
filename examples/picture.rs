//! `cargo run --example picture` draws the pictures in the README. It creates objects and processes in a private
//! `/dev/shm`, and draws what `shmtool` prints about them. It needs `python3`, the release build, and root.

use anyhow::{Context, ensure};
use std::fs;
use std::process::Command;

/// A shell script: a camera stores frames, a viewer shows them, and a killed job has left an object behind.
const PROCESSES: &str = r#"
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

/// A shell script: an object of our own, a memfd, and two containers without a runtime, in one of which a job has left an
/// object behind.
const PLACES: &str = r#"
container() {
    unshare --mount sh -c "mount -t tmpfs tmpfs /dev/shm; $1; exec sleep 60" &
    containers="$containers $!"
}
shmtool create -s 64M /frames
container 'shmtool create -s 200M /job-8123'
container 'shmtool create -s 16M /psm_5f2a; exec sleep 60 < /dev/shm/psm_5f2a'
shmtool create --anonymous -s 96M model -- sleep 60 & memfd=$!
sleep 1
show 'shmtool ls --summary'
show 'shmtool ls --everywhere'
show 'shmtool unlink --everywhere -v --unused --glob "job-*"'
kill $containers $memfd
"#;

fn main() -> anyhow::Result<()> {
    fs::create_dir_all("docs")?;
    draw("docs/ls-p.svg", PROCESSES, "mapped rw, open rw  camera")?;
    draw("docs/everywhere.svg", PLACES, "removed 1 object")
}

/// Runs the script of a scene in namespaces of its own, and draws what it prints. The output must contain `expected`.
fn draw(path: &str, scene: &str, expected: &str) -> anyhow::Result<()> {
    const START: &str = r#"exec 2>&1
mount -t tmpfs -o size=1g tmpfs /dev/shm
PATH=$PWD/target/release:$PATH
show() { printf '$ %s\n' "$1"; eval "$1"; }
"#;
    let directory = tempfile::tempdir()?;
    let mut shell = Command::new("unshare");
    shell.args([
        "--mount",
        "--ipc",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    shell.args(["sh", "-c", &format!("{START}{scene}"), "sh"]);
    shell.arg(directory.path());
    let output = shell.output().context("unshare")?;
    let text = String::from_utf8(output.stdout)?;
    // This message depends on the other processes of the machine, so it does not belong in the picture.
    let lines = text.lines().filter(|line| {
        !line.contains(" could not be inspected (") && !line.contains(": this is a container")
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    ensure!(text.contains(expected), "unexpected output: {text}");
    let svg = anstyle_svg::Term::new()
        .min_width_px(1020)
        .render_svg(&text);
    Ok(fs::write(path, svg)?)
}
