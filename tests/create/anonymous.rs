//! `--anonymous`: memory without a name, which COMMAND inherits.

use crate::common::*;
use nix::sys::resource::Resource;
use nix::sys::signal::{SIGKILL, kill, killpg};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Returns a command that runs a script with the memory.
fn anonymous(args: &[&str], script: &str) -> Command {
    let mut create = shmtool(["create", "--anonymous"]);
    create.args(args).args(["--", "sh", "-c", script]);
    create.env("shmtool", env!("CARGO_BIN_EXE_shmtool"));
    create
}

#[test]
fn children_share_the_memory_whatever_descriptors_the_caller_has_open() {
    let child = "($shmtool write-int --file /dev/fd/3 --add 1; $shmtool read-int --file /dev/fd/4 --until 7) > /dev/null &";
    let script = format!(
        "readlink /proc/$$/fd/3 /proc/$$/fd/4; \
         for fd in 0 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$fd ] && printf \"$fd \"; done; {child} {child} \
         $shmtool read-int --file /dev/fd/3 --until 2; $shmtool write-int --file /dev/fd/4 7; wait"
    );
    for open in 0..8 {
        let redirection = |bit: u32, fd: u32| match open & (1 << bit) {
            0 => format!(" {fd}<&-"),
            _ => format!(" {fd}</dev/null"),
        };
        let redirections: String = [(0, 0), (1, 3), (2, 4)]
            .map(|(bit, fd)| redirection(bit, fd))
            .concat();
        let caller = format!("exec \"$@\"{redirections}");
        let mut sh = Command::new("sh");
        sh.args(["-c", &caller, "sh", env!("CARGO_BIN_EXE_shmtool")]);
        sh.args(["create", "--anonymous", "-s", "4K", "sum", "go", "--"]);
        sh.args(["sh", "-c", &script]);
        sh.env("shmtool", env!("CARGO_BIN_EXE_shmtool"));
        let stdin = if open & 1 == 0 { "" } else { "0 " };
        run(&mut sh).prints(format!(
            "/memfd:sum (deleted)\n/memfd:go (deleted)\n{stdin}3 4 2\n"
        ));
    }
}

#[test]
fn the_memory_has_the_size_mode_and_contents_that_were_requested() {
    let show = "stat -L -c '%s %b %a' /dev/fd/3 /dev/fd/4; cat /dev/fd/3 /dev/fd/4";
    let show = |args: &[&str]| run(&mut anonymous(args, show)).stdout;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "text").unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(
        show(&["--from", path, "-m", "640", "a", "a"]),
        b"4 8 640\n4 8 640\ntexttext"
    );
    assert_eq!(
        show(&["--from", path, "-s", "6", "a", "b"]),
        b"6 8 600\n6 8 600\ntext\0\0text\0\0"
    );
    let zeros = [&b"9000 0 600\n9000 0 600\n"[..], &[0; 18000]].concat();
    assert!(show(&["--sparse", "-s", "9000", "a", "b"]) == zeros);
    let mut from_pipe = Command::new("sh");
    from_pipe.args([
        "-c",
        "echo piped | \"$0\" create --anonymous --from - a -- cat /dev/fd/3",
    ]);
    run(from_pipe.arg(env!("CARGO_BIN_EXE_shmtool"))).prints("piped\n");
}

#[test]
fn file_can_be_a_descriptor_that_the_memory_replaces() {
    let mut sh = Command::new("sh");
    let script = "echo inherited > $1; exec 3< $1; \"$0\" create --anonymous --from /dev/fd/3 a b -- cat /dev/fd/4 /dev/fd/3";
    let file = tempfile::NamedTempFile::new().unwrap();
    sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]);
    run(sh.arg(file.path())).prints("inherited\ninherited\n");
}

#[test]
fn labels_are_up_to_249_bytes_of_any_kind() {
    let any: Vec<u8> = (1..=249)
        .map(|byte| if byte == b'/' { b'x' } else { byte })
        .collect();
    let create = |label: &[u8]| {
        let mut create = shmtool(["create", "--anonymous", "-s", "1"]);
        create.arg(OsStr::from_bytes(label));
        run(create.args(["--", "readlink", "-n", "/proc/self/fd/3"]))
    };
    create(&any).prints([b"/memfd:", &any[..], b" (deleted)"].concat());
    create(b"/slash").prints("/memfd:slash (deleted)");
    let long = "x".repeat(250);
    create(long.as_bytes()).fails(2).says(format!(
        "{long}: not a label: 250 bytes, at most 249 are allowed"
    ));
    let longer = "x".repeat(256);
    create(longer.as_bytes()).fails(2).says(format!(
        "{longer}: not a label: 256 bytes, at most 249 are allowed"
    ));
    create(b"a/b")
        .fails(2)
        .says("a/b: not a label: no \"/\" is allowed except at the start");
}

#[test]
fn usage_errors_are_found_before_the_command_runs() {
    let needs_size = "--anonymous needs -s SIZE with a SIZE larger than 0, or --from FILE";
    let size = &["-s", "4"][..];
    for (args, message) in [
        (&[][..], needs_size),
        (&["-s", "0"], needs_size),
        (
            &["-s", "4", "-m", "700"],
            "700: memory without a name can never be executed\nhint: a MODE of 4 (read) and 2 (write) is 6",
        ),
        (
            &["--from", "-", "b"],
            "--from - can be read only once: give one NAME",
        ),
        (
            &["-s", "4", "--exist-ok"],
            "--anonymous cannot be used with --exist-ok",
        ),
        (
            &["-s", "4", "--resize"],
            "--anonymous cannot be used with --resize",
        ),
        (
            &["-s", "4", "--replace"],
            "--anonymous cannot be used with --replace",
        ),
        (
            &["--from", "-", "--overwrite"],
            "--anonymous cannot be used with --overwrite",
        ),
        (
            &["-s", "4", "--target", "1"],
            "--anonymous cannot be used with --target PID|PLACE",
        ),
    ] {
        let args = [args, &["a"]].concat();
        run(&mut anonymous(&args, "echo run"))
            .fails(2)
            .says(message);
    }
    let create = ["create", "--anonymous"];
    run(shmtool(create).args(size).arg("a"))
        .fails(2)
        .says("missing COMMAND\nhint: add --help to see the options and operands");
    run(shmtool(create).args(size).args(["a", "--"]))
        .fails(2)
        .says("-- without a COMMAND\nhint: COMMAND may be an empty variable");
}

#[test]
fn failures_before_the_command_have_its_statuses() {
    let create = |args: &[&str]| run(shmtool(["create", "--anonymous", "a"]).args(args));
    create(&["--from", "/nonexistent", "--", "echo", "run"])
        .fails(125)
        .says("/nonexistent: No such file or directory");
    create(&["--from", "/", "--", "echo", "run"])
        .fails(125)
        .says("/: Is a directory");
    create(&["-s", "4", "--", "/nonexistent"])
        .fails(127)
        .says("/nonexistent: No such file or directory");
    create(&["-s", "4", "--", "/etc/passwd"])
        .fails(126)
        .says("/etc/passwd: Permission denied");
    let too_large = create(&["-s", "8E", "--", "echo", "run"]);
    assert_eq!(too_large.status.code(), Some(2), "there is no unit E");
    let too_large = create(&["-s", "1000T", "--", "echo", "run"]);
    assert!(too_large.fails(125).stderr.contains("do not fit"));
}

#[test]
fn too_few_descriptors_are_an_error_before_the_command_runs() {
    let script = "for limit in 4 5 6 7 8 9; do (ulimit -n $limit; \"$0\" create --anonymous -s 4 a b -- echo run) \
                  2> /dev/null; echo $?; done";
    let mut sh = Command::new("bash");
    let ended = run(sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]));
    let text = String::from_utf8(ended.stdout).unwrap();
    // With a limit of 5 both fit, but COMMAND has no descriptor left to load its libraries.
    assert!(
        text.starts_with("125\n127\n") && text.ends_with("run\n0\n"),
        "{text}"
    );
    let mut create = anonymous(&["-s", "4", "a", "b", "c"], "echo run");
    run(limited(&mut create, Resource::RLIMIT_NOFILE, 5))
        .fails(125)
        .says("memfd:c: cannot create it: Too many open files");
}

#[test]
fn shmtool_becomes_the_command() {
    // Its process ID, its signals, its OOM score and the signal that ended it are those of the command.
    let script = "trap '' USR1; exec \"$@\"";
    let status = "echo $$; grep -E '^(Sig|Shd)' /proc/self/status; grep PPid /proc/$$/status; cat /proc/$$/oom_score_adj; kill -TERM $$";
    let run_script = |args: &[&str]| {
        let mut sh = Command::new("sh");
        sh.args(["-c", script, "sh"]).args(args);
        let child = spawn(sh.args(["sh", "-c", status]));
        let pid = child.id().to_string();
        let ended = finish(child);
        assert_eq!(ended.signal(), Some(15), "{ended:?}");
        let text = String::from_utf8(ended.stdout).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first, pid);
        rest.to_owned()
    };
    let program = env!("CARGO_BIN_EXE_shmtool");
    // 4 MiB are enough for the memory check, which raises the OOM score.
    let create = [program, "create", "--anonymous", "-s", "4M", "a", "--"];
    assert_eq!(run_script(&create), run_script(&["env"]));
}

#[test]
fn kernels_that_know_no_executable_memfds_work_too() {
    // The first call fails, as before Linux 6.3.
    let inject = "inject=memfd_create:error=EINVAL:when=1";
    let args = [
        "create",
        "--anonymous",
        "-s",
        "4",
        "a",
        "--",
        "cat",
        "/dev/fd/3",
    ];
    let Some(mut strace) = strace(&["-e", inject], args) else {
        return;
    };
    run(&mut strace).prints([0; 4]);
    let mut refused =
        crate::common::strace(&["-e", "inject=memfd_create:error=ENOSYS"], args).unwrap();
    run(&mut refused)
        .fails(125)
        .says("memfd:a: cannot create it: Function not implemented");
}

#[test]
fn the_memory_cannot_be_executed() {
    let script = "cp /bin/true /dev/fd/3; chmod 700 /dev/fd/3; /dev/fd/3";
    let ended = run(&mut anonymous(&["-s", "4", "a"], script));
    assert_eq!(ended.status.code(), Some(126), "{ended:?}");
}

#[test]
fn a_python_program_maps_the_descriptor_and_passes_it_on() {
    let script = "
import mmap, subprocess, sys
memory = mmap.mmap(3, 0)
memory[0] = 7
print(len(memory), flush=True)
read = [sys.argv[1], 'read-int', '--file', '/dev/fd/3']
subprocess.run(read, pass_fds=[3], check=True)
assert subprocess.run(read, stderr=subprocess.DEVNULL).returncode == 1
";
    if python("", &[]).is_none() {
        return;
    }
    let program = env!("CARGO_BIN_EXE_shmtool");
    let mut create = shmtool(["create", "--anonymous", "-s", "4K", "a", "--", "python3"]);
    run(create.args(["-c", script, program])).prints("4096\n7\n");
}

#[test]
fn a_c_program_maps_the_descriptor() {
    let Some(c) = c_program() else { return };
    let script = format!(
        "echo ? | {0} inherited 3; $shmtool write-int --file /dev/fd/3 42; echo ? | {0} inherited 3",
        c.display()
    );
    run(&mut anonymous(&["-s", "4K", "a"], &script)).prints("0\n42\n");
}

fn shared_memory() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Shmem:"));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() << 10
}

/// Kills shmtool, or COMMAND, and a moment later its children. Nothing may stay: no object, no process, no memory.
fn kill_anything(rounds: u64) {
    const SIZE: u64 = 16 << 20;
    let before = shared_memory();
    for _ in 0..rounds {
        let mut create = anonymous(&["-s", "16M", "leak"], "sleep 100 & sleep 100 & sleep 100");
        let mut child = create.process_group(0).spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
        sleep(Duration::from_millis(30).mul_f64(random));
        kill(pid, SIGKILL).unwrap();
        child.wait().unwrap();
        // The children are still there, unless shmtool was killed before COMMAND ran.
        let _ = killpg(pid, SIGKILL);
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
    }
    // Other processes on the machine use shared memory too, but less than half of what would be lost.
    let start = Instant::now();
    while shared_memory() > before + rounds * SIZE / 2 {
        assert!(start.elapsed() < HANG, "the memory is not freed");
        sleep(Duration::from_millis(10));
    }
    let list = ["ls", "--nameless", "--glob", "memfd:leak", "--no-header"];
    loop {
        let left = run(&mut shmtool(list));
        if left.stdout.is_empty() {
            break;
        }
        // A process that was killed needs a moment to end.
        assert!(start.elapsed() < HANG, "{left:?}");
    }
}

#[test]
fn killing_anything_leaves_nothing() {
    in_private_system("size=1m", || kill_anything(25));
}

#[test]
#[ignore = "500 rounds"]
fn killing_anything_500_times_leaves_nothing() {
    in_private_system("size=1m", || kill_anything(500));
}
