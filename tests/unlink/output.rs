//! The rows and the summary that `unlink` prints.

use crate::common::*;
use crate::*;
use std::io::Read;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

/// What a sweep writes to standard error if that is a terminal.
fn stderr_on_terminal(args: &[&str]) -> String {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut command = shmtool(["unlink"]);
    let status = command.args(args).stderr(pty.slave).status().unwrap();
    assert!(status.success());
    // The command holds a copy of the other end. The reader sees the end only once that copy is closed.
    drop(command);
    let mut text = Vec::new();
    // The read fails with EIO once nobody has the other end open.
    let _ = File::from(pty.master).read_to_end(&mut text);
    String::from_utf8(text).unwrap().replace('\r', "")
}

#[test]
fn a_row_has_name_size_owner_and_age_as_in_ls() {
    in_private_shm("size=4m", || {
        run(&mut shmtool(["create", "-s", "64K", "a"])).prints("");
        run(&mut shmtool(["create", "-s", "3", "a-longer-name"])).prints("");
        // The age is left out: it is in seconds, and may change between two commands on a busy machine.
        let words = |row: &str| -> Vec<String> {
            let words = row.split_whitespace().map(str::to_owned);
            words.take(3).collect()
        };
        let listed = run(&mut shmtool(["ls", "-o", "name,size,owner,age"])).stdout;
        let listed = String::from_utf8(listed).unwrap();
        let listed: Vec<_> = listed.lines().skip(1).map(words).collect();
        for args in [&["-n", "--unused"][..], &["-v", "a", "a-longer-name"]] {
            let ended = unlink(args);
            let text = str::from_utf8(&ended.stdout).unwrap();
            assert_eq!(text.lines().map(words).collect::<Vec<_>>(), listed);
            // The rows are aligned even though each is printed before the next is known.
            let sizes: Vec<_> = text.lines().map(|row| row.find("B ")).collect();
            assert_eq!(sizes, [Some(24), Some(24)], "{text}");
            assert!(text.lines().all(|row| row.ends_with('s')), "{text}");
        }
        assert_eq!(remaining(), [""; 0]);
    });
}

#[test]
fn each_row_is_printed_as_soon_as_its_object_is_gone() {
    in_private_shm("size=4m", || {
        create(&["a", "b"]);
        let inject = "inject=/^unlink:delay_enter=20000000:when=2";
        let Some(mut strace) = strace(&["-e", inject], ["unlink", "-v", "--unused"]) else {
            return;
        };
        let mut sweep = strace.stdout(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 2];
        sweep
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut first)
            .unwrap();
        assert_eq!((&first, remaining()), (b"/a", vec!["b".to_owned()]));
        // Killing strace ends the delay, so the sweep can finish.
        sweep.kill().unwrap();
        let mut rest = Vec::new();
        let mut stdout = sweep.stdout.take().unwrap();
        stdout.read_to_end(&mut rest).unwrap();
        sweep.wait().unwrap();
    });
}

#[test]
fn the_summary_counts_what_was_removed_and_why_others_were_kept() {
    in_private_shm("size=4m", || {
        create(&["a", "used", "sem.s"]);
        fs::write("/dev/shm/large", [1; 10_000]).unwrap();
        let _used = open("used");
        sleep(Duration::from_millis(1100));
        create(&["young-1", "young-2", "sem.t"]);

        let dry = unlink(&["-n", "--older-than", "1s"]);
        assert_eq!(printed_names(&dry), ["/a", "/large"]);
        assert_eq!(
            dry.stderr,
            "shmtool: would remove 2 objects and free 16KiB\n\
                 shmtool: 1 kept: in use\n\
                 shmtool: 2 kept: modified less than 1s ago\n\
                 shmtool: not swept: 2 semaphores with 8KiB (see -a)\n"
        );
        let swept = unlink(&["-v", "--older-than", "1s"]);
        assert_eq!(
            swept.stderr,
            "shmtool: removed 2 objects and freed 16KiB\n\
                 shmtool: 1 kept: in use\n\
                 shmtool: 2 kept: modified less than 1s ago\n\
                 shmtool: not swept: 2 semaphores with 8KiB (see -a)\n"
        );
        // The summary does not count objects that another filter excludes.
        let young = unlink(&["-v", "--older-than", "1h", "-g", "young-1"]);
        assert_eq!(
            young.stderr,
            "shmtool: removed nothing\nshmtool: 1 kept: modified less than 1h ago\n\
                 shmtool: not swept: 2 semaphores with 8KiB (see -a)\n"
        );
        let in_use = unlink(&["-v", "--include-in-use", "-g", "[!s]*"]);
        assert_eq!(
            in_use.stderr,
            "shmtool: removed 2 objects and freed 8KiB\n\
                 shmtool: removed 1 object in use: its 4KiB will be freed when the last user ends\n\
                 shmtool: not swept: 2 semaphores with 8KiB (see -a)\n"
        );
        assert_eq!(remaining(), ["sem.s", "sem.t"]);
        create(&["x"]);
        // With a NAME there is no summary.
        let named = unlink(&["-v", "--unused", "x"]);
        assert_eq!(
            (printed_names(&named), named.stderr.as_str()),
            (vec!["/x"], "")
        );
    });
}

#[test]
fn memory_that_another_name_keeps_is_not_freed() {
    in_private_shm("size=4m", || {
        create(&["large"]);
        fs::hard_link("/dev/shm/large", "/dev/shm/large-too").unwrap();
        let first = unlink(&["-v", "--glob", "large"]);
        assert_eq!(first.stderr, "shmtool: removed 1 object and freed 0B\n");
        let last = unlink(&["-v", "--unused"]);
        assert_eq!(last.stderr, "shmtool: removed 1 object and freed 4KiB\n");
    });
}

#[test]
fn without_verbose_the_summary_appears_only_on_a_terminal() {
    in_private_shm("size=4m", || {
        create(&["a", "used", "sem.s"]);
        let _used = open("used");
        unlink(&["--unused"]).prints("");
        create(&["a"]);
        assert_eq!(
            stderr_on_terminal(&["--unused"]),
            "shmtool: removed 1 object and freed 4KiB\n\
                 shmtool: 1 kept: in use\n\
                 shmtool: not swept: 1 semaphore with 4KiB (see -a)\n"
        );
    });
}

#[test]
fn the_summary_says_that_no_inodes_are_left() {
    in_private_shm("size=4m,nr_inodes=5", || {
        create(&["sem.a", "sem.b", "sem.c", "used"]);
        let _used = open("used");
        let swept = unlink(&["-v", "--older-than", "0"]);
        assert_eq!(
            swept.stderr,
            "shmtool: removed nothing\n\
                 shmtool: 1 kept: in use\n\
                 shmtool: not swept: 3 semaphores with 12KiB (see -a)\n\
                 shmtool: no inodes left in /dev/shm (3 of 5 are semaphores, see ls -a)\n"
        );
        drop(_used);
        let swept = unlink(&["-v", "--older-than", "0"]);
        assert!(!swept.stderr.contains("inodes"), "{swept:?}");
    });
}

#[test]
fn a_failed_write_to_standard_output_is_an_error() {
    in_private_shm("size=4m", || {
        create(&["x"]);
        output_fails(&mut shmtool(["unlink", "-n", "--unused"]));
        assert_eq!(remaining(), ["x"]);
    });
}

#[test]
fn objects_that_cannot_be_printed_are_not_removed() {
    in_private_shm("size=4m", || {
        create(&["x"]);
        let mut sh = Command::new("sh");
        let script = "exec \"$0\" unlink -v --unused >&-";
        run(sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]))
            .fails(1)
            .says("standard output: Bad file descriptor");
        assert_eq!(remaining(), ["x"]);
        let full = File::options().write(true).open("/dev/full").unwrap();
        create(&["y"]);
        let mut verbose = shmtool(["unlink", "-v", "--unused"]);
        let child = verbose.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        finish(child)
            .fails(1)
            .says("standard output: No space left on device");
        assert_eq!(remaining(), ["y"]);
    });
}

#[test]
fn rows_come_before_the_summary() {
    in_private_shm("size=4m", || {
        create(&["x", "y"]);
        let mut sh = Command::new("sh");
        let script = "\"$0\" unlink -v --unused 2>&1";
        let swept = run(sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]));
        let text = String::from_utf8(swept.stdout).unwrap();
        let first: Vec<_> = text.lines().map(|line| line.split(' ').next()).collect();
        assert_eq!(first, [Some("/x"), Some("/y"), Some("shmtool:")]);
    });
}

#[test]
fn a_failure_of_standard_output_is_reported_once() {
    in_private_shm("size=4m", || {
        create(&["a", "b"]);
        output_fails(&mut shmtool(["unlink", "-v", "a", "b"]));
    });
}
