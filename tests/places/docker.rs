//! Containers of Docker, where it is installed. This test looks at the real machine. It touches only what has its own
//! random prefix.

use crate::common::*;
use crate::*;
use std::io::Write;
use std::process::{Command, Stdio};

fn docker(args: &[&str]) -> Ended {
    run(Command::new("docker").args(args).stdin(Stdio::null()))
}

/// An image that contains one program, and the containers that run it. All are removed when this is dropped.
struct Image {
    prefix: String,
    containers: Vec<String>,
}

impl Image {
    /// Returns None if Docker does not work here.
    fn new() -> Option<Image> {
        let mut info = Command::new("docker");
        info.args(["info", "--format", "{{.ServerVersion}}"]);
        let info = info.stderr(Stdio::null()).output();
        if !info.is_ok_and(|info| info.status.success() && info.stdout.len() > 1) {
            skipped("no docker");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let (source, program) = (
            directory.path().join("pause.c"),
            directory.path().join("pause"),
        );
        // As PID 1, it ignores SIGTERM; docker kill is used.
        fs::write(
            &source,
            "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n",
        )
        .unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-static", "-o"]).arg(&program).arg(source);
        if !cc.output().is_ok_and(|cc| cc.status.success()) {
            skipped("no static libc");
            return None;
        }
        let tar = Command::new("tar")
            .arg("-C")
            .arg(directory.path())
            .args(["-c", "pause"])
            .output()
            .unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let image = Image {
            prefix: format!(
                "shmtool-test-{}-{}",
                std::process::id(),
                time.subsec_nanos()
            ),
            containers: Vec::new(),
        };
        let mut import = Command::new("docker");
        import.args(["import", "-", &image.prefix]);
        import.stdin(Stdio::piped());
        let mut import = spawn(&mut import);
        import.stdin.take().unwrap().write_all(&tar.stdout).unwrap();
        let imported = finish(import);
        assert!(imported.status.success(), "{imported:?}");
        Some(image)
    }

    /// Starts a container, and returns its short ID and the ID of its process.
    fn start(&mut self, options: &[&str]) -> Option<(String, String)> {
        let name = format!("{}-{}", self.prefix, self.containers.len());
        self.containers.push(name.clone());
        let args = ["run", "--detach", "--network=none", "--name", &name];
        let started = docker(&[&args[..], options, &[&self.prefix, "/pause"]].concat());
        if !started.status.success() {
            skipped(&format!(
                "docker cannot run a container: {}",
                started.stderr
            ));
            return None;
        }
        let inspect = docker(&["inspect", "--format", "{{.ID}} {{.State.Pid}}", &name]);
        let (id, pid) = lines(&inspect)[0].split_once(' ').unwrap();
        Some((id[..12].to_owned(), pid.to_owned()))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let mut remove = Command::new("docker");
        remove
            .args(["rm", "--force", "--volumes"])
            .args(&self.containers);
        if !self.containers.is_empty() {
            let _ = remove.stdout(Stdio::null()).status();
        }
        let mut remove = Command::new("docker");
        let _ = remove
            .args(["rmi", &self.prefix])
            .stdout(Stdio::null())
            .status();
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(&self.prefix)
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[test]
fn containers_of_docker_are_named_by_their_ids_and_swept() {
    if !is_root() {
        return;
    }
    let Some(mut image) = Image::new() else {
        return;
    };
    let mut containers = Vec::new();
    for options in [&["--ipc=private"][..], &["--ipc=host"], &["--read-only"]] {
        let Some(container) = image.start(options) else {
            return;
        };
        containers.push(container);
    }
    let [private, host, read_only] = &containers[..] else {
        unreachable!()
    };
    let prefix = image.prefix.clone();
    let object = |name: &str| format!("/{prefix}-{name}");
    for ((_, pid), name) in containers.iter().zip(["private", "host", "read-only"]) {
        for kind in ["free", "used"] {
            let name = object(&format!("{name}-{kind}"));
            run(&mut shmtool(["create", "--target", pid, "-s", "4K", &name])).prints("");
        }
    }
    let glob = format!("/{prefix}-*");
    let listed = || rows("name,place", &["--glob", &glob]);
    let expected = |kinds: &[&str]| {
        let mut rows = Vec::new();
        for (name, place) in [
            ("host", "-"),
            ("private", &private.0),
            ("read-only", &read_only.0),
        ] {
            for kind in kinds {
                rows.push(format!("{} {place}", object(&format!("{name}-{kind}"))));
            }
        }
        rows
    };
    assert_eq!(listed(), expected(&["free", "used"]));
    // The kernel sometimes claims that a path is not cached, because somebody else mounts something. If the root of the
    // containers is a FUSE file system, there is no other way than to try again.
    let options = [
        "-f",
        "-e",
        "trace=openat2",
        "-e",
        "inject=openat2:error=EAGAIN:when=1..5",
    ];
    let list = ["ls", "--everywhere", "-J", "--glob", &glob];
    if let Some(mut strace) = strace(&options, list) {
        let ended = run(&mut strace);
        let listed: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(listed["objects"].as_array().unwrap().len(), 6, "{ended:?}");
    }

    // The containers hold their objects, one of them through a place instead of a process ID.
    let used = [
        (&host.1, object("host-used")),
        (&private.0, object("private-used")),
        (&read_only.1, object("read-only-used")),
    ];
    let peers: Vec<_> = used
        .iter()
        .map(|(target, name)| {
            let mut hold = shmtool(["create", "--exist-ok", "--target", target, name]);
            let mut peer = Peer::start(hold.args(["--", "sh", "-c", "echo; exec cat"]));
            peer.line();
            peer
        })
        .collect();
    let sweep = |age: &str| {
        let filters = ["--older-than", age, "--glob", &glob];
        run(shmtool(["unlink", "--everywhere", "-v"]).args(filters))
    };
    let swept = sweep("1h");
    assert_eq!(removed(&swept), [""; 0], "{swept:?}");
    sleep(Duration::from_millis(1100));
    let swept = sweep("1s");
    assert_eq!(removed(&swept), expected(&["free"]), "{swept:?}");
    assert_eq!(listed(), expected(&["used"]));
    drop(peers);
    let container = private.0.as_str();
    let place = json(&["--everywhere", "--glob", &glob]);
    let mut places = place["places"].as_array().unwrap().iter();
    let place = places.find(|place| place["place"] == container).unwrap();
    assert_eq!(place["container"].as_str().unwrap().len(), 64);
    assert_eq!(place["pid"].to_string(), private.1);
    // No other process of shmtool or COMMAND uses them now.
    wait_until(|| sweep("1s").status.success() && listed().is_empty());
}
