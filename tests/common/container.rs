//! Containers, made with `unshare` alone, for tests of `--target` and `--everywhere`. Start them only inside
//! [`in_private_system`](super::in_private_system).

use super::skipped;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A process in namespaces of its own. It is killed when it is dropped, and all others in its PID namespace with it.
pub struct Container {
    process: Child,
    // The script would get SIGPIPE or the end of its input without these.
    _stdin: ChildStdin,
    _stdout: BufReader<ChildStdout>,
    pid: i32,
}

/// How to start a container.
pub struct Setup<'a> {
    command: Command,
    /// The lines to write to `uid_map` and to `gid_map`.
    map: Option<&'a str>,
}

/// The first shell tells its process ID outside, and waits until the IDs are mapped. Only then can the second one have
/// the rights of root.
const START: &str =
    r#"read pid rest </proc/self/stat; echo "started $pid"; read go; exec sh -c "$1""#;

/// What comes before the script.
const PRELUDE: &str = r#"
set -e
# Prepares a root directory with programs in it, but without /dev.
make_root() {
    mount -t tmpfs -o mode=755 tmpfs /mnt
    root=/mnt/root
    mkdir $root
    # As in a container, it is a mount point.
    mount -t tmpfs -o mode=755 tmpfs $root
    mkdir $root/dev
    for directory in bin sbin lib lib64 usr; do
        if [ -L /$directory ]; then
            cp -P /$directory $root
        elif [ -d /$directory ]; then
            mkdir $root/$directory
            mount --rbind /$directory $root/$directory
        fi
    done
}
"#;

/// What comes after the script. If the script has called `make_root`, this changes to the new root directory.
const END: &str = r#"
exec ${root:+chroot "$root"} sh -c 'echo ready; exec sleep 1000'"#;

impl<'a> Setup<'a> {
    /// Returns the setup for a container that `unshare` starts with these options.
    pub fn new(options: &[&str]) -> Setup<'a> {
        let mut command = Command::new("unshare");
        command.args(options);
        command.args(["sh", "-c", START, "sh"]);
        Setup { command, map: None }
    }

    /// Starts the container as this user, who owns it.
    pub fn user(mut self, id: u32) -> Setup<'a> {
        self.command.uid(id).gid(id);
        self
    }

    /// Maps these user and group IDs into the user namespace. The test must be root.
    pub fn map(mut self, ids: &'a str) -> Setup<'a> {
        self.map = Some(ids);
        self
    }

    /// Sets a variable for the script.
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Setup<'a> {
        self.command.env(name, value);
        self
    }

    /// Changes the command that starts the container.
    pub fn command(mut self, change: impl FnOnce(&mut Command)) -> Setup<'a> {
        change(&mut self.command);
        self
    }

    /// Starts the container, and runs the script in it. Returns None if the namespaces are not available.
    ///
    /// The script may also execute a program in its place, which prints a line when it is ready.
    pub fn start(mut self, script: &str) -> Option<Container> {
        self.command.arg([PRELUDE, script, END].concat());
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = self.command.spawn().expect("unshare is installed");
        let mut stdin = process.stdin.take().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let Some(pid) = line.trim_end().strip_prefix("started ") else {
            process.wait().unwrap();
            skipped("no namespaces for a container");
            return None;
        };
        let pid = pid.parse().unwrap();
        if let Some(ids) = self.map {
            for file in ["uid_map", "gid_map"] {
                fs::write(format!("/proc/{pid}/{file}"), ids).unwrap();
            }
        }
        writeln!(stdin, "go").unwrap();
        line.clear();
        stdout.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "this script failed: {script}");
        Some(Container {
            process,
            _stdin: stdin,
            _stdout: stdout,
            pid,
        })
    }
}

impl Container {
    /// Mounts a new tmpfs on `/dev/shm`.
    pub const TMPFS: &str = "mount -t tmpfs -o size=4m,mode=1777 tmpfs /dev/shm\n";

    /// Starts a container in our own user namespace, as Docker does, with its own tmpfs and what the script does there.
    /// The test must be root.
    pub fn start(script: &str) -> Container {
        let script = [Self::TMPFS, script].concat();
        let container = Setup::new(&["--mount"]).start(&script);
        container.expect("root may unshare a mount namespace")
    }

    /// Starts a container in a user namespace where these IDs are mapped, with its own tmpfs. It belongs to the first of
    /// them outside. Returns None if user namespaces are not available.
    pub fn start_mapped(ids: &str, script: &str) -> Option<Container> {
        let first = ids.split_whitespace().nth(1).unwrap().parse().unwrap();
        let script = [Self::TMPFS, script].concat();
        Setup::new(&["--user", "--keep-caps", "--mount"])
            .user(first)
            .map(ids)
            .start(&script)
    }

    /// Starts what an unprivileged user can start: `unshare -Urm`. The script mounts what it likes. Returns None if user
    /// namespaces are not available.
    pub fn start_rootless(uid: u32, script: &str) -> Option<Container> {
        Setup::new(&["--user", "--map-root-user", "--mount"])
            .user(uid)
            .start(script)
    }

    /// The process ID outside.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The value of `--target`.
    pub fn target(&self) -> String {
        self.pid.to_string()
    }

    /// The label of the place.
    pub fn place(&self) -> String {
        format!("pid:{}", self.pid)
    }

    /// The path of an object in the container.
    pub fn path(&self, name: &str) -> PathBuf {
        format!("/proc/{}/root/dev/shm/{name}", self.pid).into()
    }

    /// The names of the files in the container's `/dev/shm`, sorted.
    pub fn names(&self) -> Vec<String> {
        names_in(self.path(""))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Unless it runs a program in another PID namespace, this is the process that unshare has become.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let start = Instant::now();
        while fs::exists(format!("/proc/{}/root/.", self.pid)).unwrap_or(false)
            && start.elapsed() < Duration::from_secs(1)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The names of the files in a directory, sorted.
pub fn names_in(directory: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}
