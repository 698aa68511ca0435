//! If memory is short, `create` reports an error, and no other process is killed.

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

mod overwrite;

const MIB: u64 = 1 << 20;

/// Another process in the same cgroup. It uses 8 MiB, more than shmtool, so the OOM killer would prefer it.
struct Bystander(Child);

impl Bystander {
    fn start(cgroup: &MemoryCgroup) -> Bystander {
        let mut dd = Command::new("dd");
        dd.args(["if=/dev/zero", "bs=8M"]).stdout(Stdio::piped());
        let mut bystander = Bystander(cgroup.run(&mut dd).spawn().unwrap());
        // dd has filled its buffer, and now blocks until somebody reads the rest.
        let stdout = bystander.0.stdout.as_mut().unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        bystander
    }

    #[track_caller]
    fn assert_alive(&mut self) {
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

/// A temporary file of this many MiB, filled with data or consisting of one hole.
fn file_of(mebibytes: u64, is_hole: bool) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.as_file().set_len(mebibytes * MIB).unwrap();
    for mebibyte in (0..mebibytes).filter(|_| !is_hole) {
        let bytes = vec![7; MIB as usize];
        file.as_file().write_all_at(&bytes, mebibyte * MIB).unwrap();
    }
    file
}

/// Asserts that the message names the requested size, the memory left, the limit, and the file that sets the limit.
#[track_caller]
fn assert_names_the_limit(ended: &Ended, name: &Name, limit: &str, file: &Path) {
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
fn exceeding_the_memory_limit_of_the_container_is_an_error_and_no_process_is_killed() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let (data, hole) = (file_of(24, false), file_of(24, true));
    let (data, hole) = (data.path().to_str().unwrap(), hole.path().to_str().unwrap());
    let mut bystander = Bystander::start(&cgroup);
    let assert_refused = |args: &[&str], name: &Name, stdin: Stdio| {
        let mut create = shmtool(["create"]);
        create.args(args).arg(name).stdin(stdin);
        let ended = run(cgroup.run(&mut create));
        assert_names_the_limit(&ended, name, "16MiB", &cgroup.limit_file());
    };
    for args in [
        &["-s", "24M"][..],
        &["--from", data],
        &["--from", hole],
        // --sparse reserves no memory, but the data that is copied still needs it.
        &["--sparse", "--from", data],
        &["-s", "24M", "--from", "/dev/null"],
    ] {
        let name = Name::new();
        assert_refused(args, &name, Stdio::null());
        assert!(!name.path().exists(), "{args:?}");
        bystander.assert_alive();
    }

    // The length of the data in a pipe is not known in advance.
    let mut data = Command::new("cat")
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let name = Name::new();
    assert_refused(&["--from", "-"], &name, data.stdout.take().unwrap().into());
    data.wait().unwrap();
    assert!(!name.path().exists());
    bystander.assert_alive();

    // However much is left after the last whole step.
    for more in 0..10 {
        fs::write(cgroup.limit_file(), (16 * MIB + more * 100_000).to_string()).unwrap();
        let name = Name::new();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut command = shmtool(["create", "--from", "-"]);
        let create = spawn(cgroup.run(command.arg(&name).stdin(reader)));
        // It holds the reading end.
        drop(command);
        // A closed pipe is the expected end.
        let _ = writer.write_all(&[1; 24 * MIB as usize]);
        drop(writer);
        let ended = finish(create);
        assert_eq!(ended.status.code(), Some(1), "{more}: {ended:?}");
        bystander.assert_alive();
    }
    fs::write(cgroup.limit_file(), (16 * MIB).to_string()).unwrap();

    // The memory of the existing object must not count as available.
    let name = Name::holding(vec![7; MIB as usize]);
    for option in ["--resize", "--replace"] {
        assert_refused(&[option, "-s", "24M"], &name, Stdio::null());
        assert_eq!(fs::metadata(name.path()).unwrap().len(), MIB);
        bystander.assert_alive();
    }
}

#[test]
fn many_small_objects_count_against_the_limit_together() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let mut bystander = Bystander::start(&cgroup);
    let names: Vec<_> = (0..48).map(|_| Name::new()).collect();
    let ended = run(cgroup.run(shmtool(["create", "-s", "512K"]).args(&names)));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let created = names.iter().filter(|name| name.path().exists()).count();
    assert!((2..32).contains(&created), "{created}: {ended:?}");
    bystander.assert_alive();
}

#[test]
fn objects_that_fit_into_the_container_are_created() {
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
fn page_cache_counts_as_available_memory() {
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
fn the_limit_of_a_parent_cgroup_counts_too() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let inner = cgroup.child(64 * MIB);
    let name = Name::new();
    let ended = run(inner.run(shmtool(["create", "-s", "24M"]).arg(&name)));
    assert_names_the_limit(&ended, &name, "16MiB", &cgroup.limit_file());
}

#[test]
fn the_limit_is_found_in_a_container_whose_cgroup_is_mounted_as_the_root() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    // Containers do this with a bind mount of the cgroup, or with a cgroup namespace.
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
        assert_names_the_limit(&ended, &name, "16MiB", &file);
    }
}

#[test]
fn the_memory_limit_is_ignored_for_objects_on_a_disk() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let kind = nix::sys::statfs::statfs(directory.path())
        .unwrap()
        .filesystem_type();
    if kind == nix::sys::statfs::TMPFS_MAGIC {
        return skipped("the target directory is on a tmpfs");
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
fn if_the_limit_is_invisible_the_oom_killer_kills_shmtool_and_no_other_process() {
    let Some(cgroup) = MemoryCgroup::new(16 * MIB) else {
        return;
    };
    let mut bystander = Bystander::start(&cgroup);
    let name = Name::new();
    // An empty tmpfs on /sys/fs/cgroup hides the limit.
    let script = "mount -t tmpfs tmpfs /sys/fs/cgroup && exec \"$0\" \"$@\"";
    let mut blind = Command::new("unshare");
    blind.args(["-m", "--propagation", "private", "sh", "-c", script]);
    blind
        .arg(env!("CARGO_BIN_EXE_shmtool"))
        .args(["create", "-s", "24M"]);
    let ended = run(cgroup.run(blind.arg(&name)));
    assert_eq!(ended.signal(), Some(libc::SIGKILL), "{ended:?}");
    bystander.assert_alive();
    assert!(!name.path().exists());
}

#[test]
fn exceeding_the_memory_of_the_machine_is_an_error() {
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

/// Returns a command that runs `create` with an oom_score_adj of 300.
fn create_with_oom_score_adj(args: &[&str]) -> Command {
    let script = "echo 300 > /proc/self/oom_score_adj && exec \"$0\" create \"$@\"";
    let mut sh = Command::new("sh");
    sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]);
    sh.args(args).stdin(Stdio::null());
    sh
}

#[test]
fn create_raises_its_oom_score_while_it_copies() {
    let name = Name::new();
    let mut create = create_with_oom_score_adj(&["--from", "-"]);
    create.arg(&name).stdin(Stdio::piped());
    create.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = create.spawn().unwrap();
    let file = format!("/proc/{}/oom_score_adj", child.id());
    let mut stdin = child.stdin.take().unwrap();
    // More than create accepts before it first checks the memory limit.
    stdin.write_all(&vec![7; 3 << 20]).unwrap();
    let start = Instant::now();
    while fs::read_to_string(&file).unwrap() != "1000\n" {
        assert!(start.elapsed() < HANG, "oom_score_adj is not raised");
        sleep(Duration::from_millis(5));
    }
    drop(stdin);
    finish(child).prints("");
}

#[test]
fn neither_the_command_nor_the_guard_inherits_the_raised_oom_score() {
    in_private_shm("size=16m", || {
        // Prints the values of the command, of shmtool, and of the children of shmtool (the command again, and the guard).
        let script = "cat /proc/$$/oom_score_adj /proc/$PPID/oom_score_adj
                for child in $(cat /proc/$PPID/task/$PPID/children); do cat /proc/$child/oom_score_adj; done";
        let args = ["-s", "4M", "a", "b", "--", "sh", "-c", script];
        let create = || create_with_oom_score_adj(&args);
        let printed = run(&mut create());
        printed.prints("300\n".repeat(printed.stdout.len() / 4));
        assert!(printed.stdout.len() >= 4 * 4, "{printed:?}");
        if is_root() {
            // The same without CAP_SYS_RESOURCE, which allows a process to lower the value at will.
            let printed = run(as_nobody(&mut create()));
            printed.prints("300\n".repeat(printed.stdout.len() / 4));
        }
    });
}

#[test]
fn the_command_is_not_run_if_the_oom_score_cannot_be_restored() {
    in_private_shm("size=16m", || {
        // The first write raises the value, and the second restores it.
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
fn create_succeeds_if_it_may_not_raise_its_oom_score() {
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
    // strace prints a message about the path on standard error, so that is not checked.
    assert!(run(strace.arg(&name)).status.success());
    assert_eq!(fs::metadata(name.path()).unwrap().len(), 4 * MIB);
}
