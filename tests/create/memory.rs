//! What happens where there is too little memory: an error, and nobody is killed for it.

use crate::common::cgroup::MemoryCgroup;
use crate::common::*;
use nix::libc;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// A process beside shmtool in the same cgroup, with 8 MiB: more than shmtool has.
struct Bystander(Child);

impl Bystander {
    fn start(cgroup: &MemoryCgroup) -> Bystander {
        let mut dd = Command::new("dd");
        dd.args(["if=/dev/zero", "bs=8M"]).stdout(Stdio::piped());
        let mut bystander = Bystander(cgroup.run(&mut dd).spawn().unwrap());
        // It has filled its buffer, and waits for somebody who reads the rest.
        let stdout = bystander.0.stdout.as_mut().unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        bystander
    }

    #[track_caller]
    fn is_alive(&mut self) {
        sleep(Duration::from_millis(50));
        assert_eq!(self.0.try_wait().unwrap(), None);
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A file that nobody has to remove: so many MiB, either of data or of a hole.
fn file_of(mebibytes: u64, is_hole: bool) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.as_file().set_len(mebibytes * MIB).unwrap();
    for mebibyte in (0..mebibytes).filter(|_| !is_hole) {
        let bytes = vec![7; MIB as usize];
        file.as_file().write_all_at(&bytes, mebibyte * MIB).unwrap();
    }
    file
}

/// The message names what was asked for, what is left, the limit, and where that is set.
#[track_caller]
fn names_the_limit(ended: &Ended, name: &Name, limit: &str, file: &Path) {
    let message = &ended.fails(1).stderr;
    let first = format!("shmtool: {name}: ");
    let last = format!(
        "MiB left of {limit}\nhint: {} sets the limit\n",
        file.display()
    );
    assert!(
        message.starts_with(&first)
            && message.contains("MiB do not fit: the memory limit of this container (cgroup) has ")
            && message.ends_with(&last),
        "{message}"
    );
}

#[test]
fn too_little_memory_in_the_container_is_an_error_and_nobody_is_killed() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let (data, hole) = (file_of(24, false), file_of(24, true));
    let (data, hole) = (data.path().to_str().unwrap(), hole.path().to_str().unwrap());
    let mut bystander = Bystander::start(&cgroup);
    let refused = |args: &[&str], name: &Name, stdin: Stdio| {
        let mut create = shmtool(["create"]);
        create.args(args).arg(name).stdin(stdin);
        let ended = run(cgroup.run(&mut create));
        names_the_limit(&ended, name, "16MiB", &cgroup.limit_file());
    };
    for args in [
        &["-s", "24M"][..],
        &["--from", data],
        &["--from", hole],
        // Nothing is reserved, but what is copied takes memory all the same.
        &["--sparse", "--from", data],
        &["-s", "24M", "--from", "/dev/null"],
    ] {
        let name = Name::new();
        refused(args, &name, Stdio::null());
        assert!(!name.path().exists(), "{args:?}");
        bystander.is_alive();
    }

    // Nobody knows how much will come from a pipe.
    let mut data = Command::new("cat")
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let name = Name::new();
    refused(&["--from", "-"], &name, data.stdout.take().unwrap().into());
    data.wait().unwrap();
    assert!(!name.path().exists());
    bystander.is_alive();

    // What an object holds that is to be replaced or resized is no reserve.
    let name = Name::holding(vec![7; MIB as usize]);
    for option in ["--resize", "--replace"] {
        refused(&[option, "-s", "24M"], &name, Stdio::null());
        assert_eq!(fs::metadata(name.path()).unwrap().len(), MIB);
        bystander.is_alive();
    }
}

#[test]
fn many_small_objects_count_together() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let mut bystander = Bystander::start(&cgroup);
    let names: Vec<_> = (0..48).map(|_| Name::new()).collect();
    let ended = run(cgroup.run(shmtool(["create", "-s", "512K"]).args(&names)));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let made = names.iter().filter(|name| name.path().exists()).count();
    assert!((2..32).contains(&made), "{made}: {ended:?}");
    bystander.is_alive();
}

#[test]
fn what_fits_into_the_container_is_made() {
    let Some(cgroup) = MemoryCgroup::new(24 * MIB) else {
        return;
    };
    let hole = file_of(32, true);
    let hole = hole.path().to_str().unwrap();
    for args in [
        &["-s", "12M"][..],
        &["--sparse", "-s", "32M"],
        &["--sparse", "--from", hole],
    ] {
        let name = Name::new();
        run(cgroup.run(shmtool(["create"]).args(args).arg(&name))).prints("");
    }
    let name = Name::holding(vec![7; MIB as usize]);
    run(cgroup.run(shmtool(["create", "--resize", "-s", "12M"]).arg(&name))).prints("");
    assert_eq!(fs::metadata(name.path()).unwrap().len(), 12 * MIB);
}

#[test]
fn page_cache_counts_as_memory_that_is_left() {
    let Some(cgroup) = MemoryCgroup::new(24 * MIB) else {
        return;
    };
    let file = file_of(0, true);
    let path = file.path().to_str().unwrap();
    let mut fill = Command::new("sh");
    fill.args(["-c", "head -c 30M /dev/zero > \"$0\" && sync \"$0\"", path]);
    run(cgroup.run(&mut fill)).prints("");
    let name = Name::new();
    run(cgroup.run(shmtool(["create", "-s", "12M"]).arg(&name))).prints("");
}

#[test]
fn a_limit_further_up_counts_too() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let inner = cgroup.child(64 * MIB);
    let name = Name::new();
    let ended = run(inner.run(shmtool(["create", "-s", "24M"]).arg(&name)));
    names_the_limit(&ended, &name, "16MiB", &cgroup.limit_file());
}

#[test]
fn the_limit_is_found_in_a_container_that_shows_its_own_cgroup_as_the_root() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    // With a bind mount of the cgroup, and with a cgroup namespace.
    for (unshare, how) in [
        ("-m", "mount --bind \"$0\" /mnt"),
        ("-mC", "mount -t $kind -o $options cgroup /mnt"),
    ] {
        let (kind, options, place) = match cgroup.is_v1() {
            true => ("cgroup", "memory", MemoryCgroup::V1),
            false => ("cgroup2", "rw", "/sys/fs/cgroup"),
        };
        let script = format!(
            "set -e; kind={kind} options={options}; {how}; mount -t tmpfs tmpfs /sys/fs/cgroup; \
             mkdir -p {place}; mount --move /mnt {place}; shift; exec \"$@\""
        );
        let name = Name::new();
        let mut inside = Command::new("unshare");
        inside.args([unshare, "--propagation", "private", "sh", "-c", &script]);
        inside
            .arg(cgroup.path())
            .arg("--")
            .arg(env!("CARGO_BIN_EXE_shmtool"));
        let ended = run(cgroup.run(inside.args(["create", "-s", "24M"]).arg(&name)));
        let file = cgroup.limit_file();
        let file = Path::new(place).join(file.file_name().unwrap());
        names_the_limit(&ended, &name, "16MiB", &file);
    }
}

#[test]
fn objects_on_a_disk_take_no_memory() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let kind = nix::sys::statfs::statfs(directory.path())
        .unwrap()
        .filesystem_type();
    if kind == nix::sys::statfs::TMPFS_MAGIC {
        return skipped("the target directory is in memory");
    }
    let script = "mount --bind \"$0\" /dev/shm && exec \"$@\"";
    let mut create = Command::new("unshare");
    create.args(["-m", "--propagation", "private", "sh", "-c", script]);
    create
        .arg(directory.path())
        .arg(env!("CARGO_BIN_EXE_shmtool"));
    run(cgroup.run(create.args(["create", "-s", "24M", "/x"]))).prints("");
    assert_eq!(
        fs::metadata(directory.path().join("x")).unwrap().len(),
        24 * MIB
    );
}

#[test]
fn if_the_estimate_is_wrong_nobody_else_is_killed() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let mut bystander = Bystander::start(&cgroup);
    let name = Name::new();
    // The limit cannot be seen.
    let script = "mount -t tmpfs tmpfs /sys/fs/cgroup && exec \"$0\" \"$@\"";
    let mut blind = Command::new("unshare");
    blind.args(["-m", "--propagation", "private", "sh", "-c", script]);
    blind
        .arg(env!("CARGO_BIN_EXE_shmtool"))
        .args(["create", "-s", "24M"]);
    let ended = run(cgroup.run(blind.arg(&name)));
    assert_eq!(ended.signal(), Some(libc::SIGKILL), "{ended:?}");
    bystander.is_alive();
    assert!(!name.path().exists());
}

#[test]
fn more_than_the_machine_has_is_an_error() {
    let space = nix::sys::statvfs::statvfs("/dev/shm").unwrap();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo.split_ascii_whitespace().nth(1).unwrap();
    let total = total.parse::<u64>().unwrap() << 10;
    if space.blocks_free() * space.fragment_size() < total - total / 8 {
        return skipped("/dev/shm is smaller than the memory of the machine");
    }
    let (name, size) = (Name::new(), format!("{}", 4 * total));
    let ended = run(shmtool(["create", "-s", &size]).arg(&name));
    let message = &ended.fails(1).stderr;
    assert!(message.contains("GiB do not fit: "), "{message}");
    assert!(
        message.contains("memory") || message.contains("/dev/shm"),
        "{message}"
    );
}

/// `create` in a process to whose score the kernel adds 300 when it looks for one to kill.
fn create_with_oom_score_adj(args: &[&str]) -> Command {
    let script = "echo 300 > /proc/self/oom_score_adj && exec \"$0\" create \"$@\"";
    let mut sh = Command::new("sh");
    sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]);
    sh.args(args).stdin(Stdio::null());
    sh
}

#[test]
fn it_volunteers_to_be_killed_while_it_copies() {
    let name = Name::new();
    let mut create = create_with_oom_score_adj(&["--from", "-"]);
    create.arg(&name).stdin(Stdio::piped());
    create.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = create.spawn().unwrap();
    let file = format!("/proc/{}/oom_score_adj", child.id());
    let mut stdin = child.stdin.take().unwrap();
    // More than is taken without a look.
    stdin.write_all(&vec![7; 3 << 20]).unwrap();
    let start = Instant::now();
    while fs::read_to_string(&file).unwrap() != "1000\n" {
        assert!(start.elapsed() < HANG, "it does not volunteer");
        sleep(Duration::from_millis(5));
    }
    drop(stdin);
    finish(child).prints("");
}

#[test]
fn neither_the_command_nor_the_guard_inherits_that() {
    in_private_shm("size=16m", || {
        // Its own, that of shmtool, and those of all children of shmtool: the command and the guard.
        let script = "cat /proc/$$/oom_score_adj /proc/$PPID/oom_score_adj
                for child in $(cat /proc/$PPID/task/$PPID/children); do cat /proc/$child/oom_score_adj; done";
        let args = ["-s", "4M", "a", "b", "--", "sh", "-c", script];
        let create = || create_with_oom_score_adj(&args);
        let printed = run(&mut create());
        printed.prints("300\n".repeat(printed.stdout.len() / 4));
        assert!(printed.stdout.len() >= 4 * 4, "{printed:?}");
        if is_root() {
            // Without the privilege to lower it as one likes.
            let printed = run(as_nobody(&mut create()));
            printed.prints("300\n".repeat(printed.stdout.len() / 4));
        }
    });
}

#[test]
fn a_command_that_would_inherit_it_is_not_run() {
    in_private_shm("size=16m", || {
        // The first write raises the value, the second is to restore it.
        let options = ["-e", "inject=write:error=EACCES:when=2"];
        let args = ["create", "-s", "4M", "a", "--", "echo", "run"];
        let Some(mut strace) = strace(&options, args) else {
            return;
        };
        run(&mut strace)
            .fails(125)
            .says("cannot restore /proc/self/oom_score_adj: Permission denied");
        assert!(fs::read_dir("/dev/shm").unwrap().next().is_none());
    });
}

#[test]
fn it_goes_on_where_it_may_not_volunteer() {
    let name = Name::new();
    let options = [
        "-P",
        "/proc/self/oom_score_adj",
        "-e",
        "inject=openat:error=EACCES",
    ];
    let Some(mut strace) = strace(&options, ["create", "-s", "4M"]) else {
        return;
    };
    // strace has its own word about the path on standard error.
    assert!(run(strace.arg(&name)).status.success());
    assert_eq!(fs::metadata(name.path()).unwrap().len(), 4 * MIB);
}
