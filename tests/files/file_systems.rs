//! Atomic changes and waiting across processes on file systems that are mounted for the test.

use crate::common::*;
use crate::mounts::*;
use crate::*;

/// Checks everything that must work on every file system that can be mapped shared, with a file of 8192 zeros.
fn check(file: &Path) {
    sums_are_complete(file);
    changes_wait_for_each_other(file);
    conditions_are_tested(file);
    locks_exclude(file);
    other_programs_see_it(file);
    assert_eq!(fs::metadata(file).unwrap().len(), 8192);
}

fn sums_are_complete(file: &Path) {
    let script = r#"for i in 1 2 3 4 5 6 7 8 9 10; do "$0" write-int --file "$1" --add 1; done"#;
    let adder = || {
        let mut sh = Command::new("sh");
        spawn(
            sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")])
                .arg(file),
        )
    };
    let adders = [adder(), adder(), adder()];
    let bits = ["1", "2", "4", "8"].map(|bit| {
        let args = ["--offset", "4096", "--or", bit];
        spawn(on_file("write-int", file).args(args))
    });
    let mut sums = Vec::new();
    for adder in adders {
        let ended = finish(adder);
        assert!(ended.status.success(), "{ended:?}");
        let text = String::from_utf8(ended.stdout).unwrap();
        sums.extend(text.lines().map(|line| line.parse::<i32>().unwrap()));
    }
    sums.sort_unstable();
    assert!(sums.into_iter().eq(1..=30), "nobody prints the same sum");
    for child in bits {
        assert!(finish(child).status.success());
    }
    read_int(file, &[]).prints("30\n");
    read_int(file, &["--offset", "4096"]).prints("15\n");
}

fn changes_wait_for_each_other(file: &Path) {
    let location = ["--offset", "8"];
    let takers = [(); 4].map(|()| {
        let args = ["--if", "ge:1", "--wait", "--add", "-1"];
        spawn(on_file("write-int", file).args(location).args(args))
    });
    let mut read = on_file("read-int", file);
    let args = ["--until", "ge:1", "--offset", "12"];
    let reader = spawn_waiter(read.args(args));
    for _ in 0..2 {
        let ended = write_int(file, &["--offset", "8", "--add", "2"]);
        assert!(ended.status.success(), "{ended:?}");
    }
    for taker in takers {
        let ended = finish(taker);
        assert!(ended.status.success(), "{ended:?}");
    }
    read_int(file, &location).prints("0\n");
    write_int(file, &["--offset", "12", "-3"]).prints("");
    write_int(file, &["--offset", "12", "3"]).prints("");
    finish(reader).prints("3\n");
}

fn conditions_are_tested(file: &Path) {
    let location = ["-t", "u64", "--offset", "16"];
    let write = |args: &[&str]| write_int(file, &[&location, args].concat());
    write(&["--if", "0", "0xfedcba9876543210"]).prints("");
    write(&["--if", "0", "1"]).fails(5);
    write(&["--if", "ge:1", "--swap", "1"]).prints("18364758544493064720\n");
    let ended = write(&["--if", "ne:1", "--wait", "--timeout", "0.01", "3"]);
    let timed_out = "timed out waiting for ne:1: the value is 1";
    ended
        .fails(124)
        .says(format!("{}: {timed_out}", file.display()));
}

fn locks_exclude(file: &Path) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let script = r#"
for i in 1 2 3 4 5; do
    "$0" write-int --file "$1" --offset 32 --if 0 --wait $$ || exit
    echo $$ >>"$2"
    echo $$ >>"$2"
    "$0" write-int --file "$1" --offset 32 0 || exit
done"#;
    let shell = || {
        let mut sh = Command::new("sh");
        sh.args(["-c", script, env!("CARGO_BIN_EXE_shmtool")]);
        spawn(sh.arg(file).arg(log.path()))
    };
    let shells = [shell(), shell(), shell()];
    for shell in shells {
        finish(shell).prints("");
    }
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 30);
    assert!(lines.chunks(2).all(|pair| pair[0] == pair[1]), "{lines:?}");
}

fn other_programs_see_it(file: &Path) {
    write_int(file, &["--offset", "4092", "-7"]).prints("");
    assert_eq!(int_on_disk(file, 4092), -7);
    let writer = fs::File::options().write(true).open(file).unwrap();
    writer.write_all_at(&8_i32.to_ne_bytes(), 4092).unwrap();
    read_int(file, &["--offset", "4092"]).prints("8\n");
    write_int(file, &["--offset", "4092", "--sync", "--add", "1"]).prints("9\n");
}

/// Checks a small file system, also when it is mounted again.
fn check_on_disk(kind: &str) {
    let Some(mount) = Mount::new(kind) else {
        return;
    };
    let [zeros, sparse] = ["zeros", "sparse"].map(|name| mount.path(name));
    fs::write(&zeros, [0; 8192]).unwrap();
    fs::File::create(&sparse).unwrap().set_len(8192).unwrap();
    check(&zeros);
    check(&sparse);
}

#[test]
fn processes_share_a_file_on_tmpfs() {
    in_private_shm(ROOM, || {
        let file = Path::new("/dev/shm/file");
        fs::File::create(file).unwrap().set_len(8192).unwrap();
        check(file);
    });
}

#[test]
fn processes_share_a_file_on_ext4() {
    in_private_shm(ROOM, || check_on_disk("ext4"));
}

#[test]
fn processes_share_a_file_on_xfs() {
    in_private_shm(ROOM, || check_on_disk("xfs"));
}

#[test]
fn processes_share_a_file_on_btrfs() {
    in_private_shm(ROOM, || check_on_disk("btrfs"));
}

#[test]
fn processes_share_a_file_on_an_overlay() {
    in_private_shm(ROOM, || {
        let Some(overlay) = Overlay::new() else {
            return;
        };
        check(&overlay.path("file"));
        let new = overlay.path("new");
        fs::File::create(&new).unwrap().set_len(8192).unwrap();
        check(&new);
    });
}

#[test]
fn processes_share_a_file_on_fuse_with_a_cache() {
    in_private_shm(ROOM, || {
        let Some(fuse) = crate::common::fuse::Fuse::mount() else {
            return;
        };
        let file = fuse.path("stored");
        let zeros = vec!["0"; 2048];
        write_int(&file, &zeros).prints("");
        check(&file);
    });
}

#[test]
fn a_file_on_a_read_only_file_system_is_read_but_not_changed() {
    in_private_shm(ROOM, || {
        use nix::mount::{MsFlags, mount};
        let file = Path::new("/dev/shm/file");
        fs::write(file, 5_i32.to_ne_bytes()).unwrap();
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        // With root of a user namespace only, these flags cannot be taken away.
        let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let none = None::<&str>;
        if mount(none, "/dev/shm", none, flags, none).is_err() {
            return skipped("no right to mount");
        }
        read_int(file, &["--until", "5"]).prints("5\n");
        for args in [&["1"][..], &["--if", "5", "--wait", "1"]] {
            fails_with(write_int(file, args), file, "its file system is read-only");
        }
    });
}

#[test]
fn a_file_without_contents_on_proc_is_too_small() {
    let problem = "too small: i32 at offset 0 needs 4 bytes, the file has 0";
    fails_with(read_int("/proc/version", &[]), "/proc/version", problem);
}
