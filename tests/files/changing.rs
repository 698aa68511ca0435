//! A change of a file is seen by everybody who maps or reads it, and nothing else about the file changes.

use crate::common::*;
use crate::*;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

#[test]
fn a_change_is_seen_by_read_int_and_by_read() {
    let file = file_with([0xee; 8192]);
    for (offset, value) in [(0, -5), (4092, 6), (4096, 7), (8188, i32::MIN)] {
        let location = ["--offset", &offset.to_string()];
        run(on_file("write-int", file.path())
            .arg(value.to_string())
            .args(location))
        .prints("");
        read_int(file.path(), &location).prints(format!("{value}\n"));
        assert_eq!(int_on_disk(&file, offset), value);
    }
    let bytes = fs::read(&file).unwrap();
    assert_eq!(bytes.len(), 8192);
    let changed = bytes.iter().filter(|&&byte| byte != 0xee).count();
    assert_eq!(changed, 16, "the bytes around the integers stay");
}

#[test]
fn od_sees_a_change_and_read_int_sees_what_dd_writes() {
    let file = file_with([0; 16]);
    write_int(file.path(), &["--offset", "8", "-t", "u32", "0xdeadbeef"]).prints("");
    let mut od = Command::new("od");
    od.args(["-An", "-tx4", "-j8", "-N4"]).arg(file.path());
    run(&mut od).prints(" deadbeef\n");
    let script = r#"printf '\001\001\001\001' | dd of="$1" bs=1 seek=4 conv=notrunc status=none"#;
    let mut dd = Command::new("sh");
    run(dd.args(["-c", script, "sh"]).arg(file.path())).prints("");
    read_int(file.path(), &["--count", "3", "--hex"])
        .prints("0x00000000\n0x01010101\n0xdeadbeef\n");
}

#[test]
fn a_change_is_seen_by_python_that_maps_the_file() {
    let file = file_with([0; 8192]);
    let path = file.path().to_str().unwrap();
    let Some(mut python) = python(PYTHON_MMAP, &[path]) else {
        return;
    };
    let mut python = Peer::start(&mut python);
    assert_eq!(python.ask("4096"), "0");
    write_int(path, &["--offset", "4096", "-7"]).prints("");
    assert_eq!(python.ask("4096"), "-7");
    assert_eq!(python.ask("4096 12"), "12");
    read_int(path, &["--offset", "4096"]).prints("12\n");
    write_int(path, &["--offset", "4096", "--add", "30"]).prints("42\n");
    assert_eq!(
        (python.ask("4096"), int_on_disk(path, 4096)),
        ("42".into(), 42)
    );
}

#[test]
fn a_change_is_seen_by_a_c_program_that_maps_the_file() {
    let Some(c) = c_program() else { return };
    // The program maps an object. As a file, the object has a path.
    let name = Name::holding([0; 8]);
    let mut holder = Peer::start(Command::new(c).arg("hold").arg(&name));
    for value in ["1", "-2147483648"] {
        write_int(name.path(), &[value]).prints("");
        assert_eq!(holder.ask("?"), value);
        run(shmtool(["read-int"]).arg(&name)).prints(format!("{value}\n"));
    }
}

#[test]
fn atomic_changes_and_atomic_additions_in_c_lose_nothing() {
    let Some(c) = c_program() else { return };
    let name = Name::holding([0; 4]);
    let adder = || spawn(Command::new(c).arg("add").arg(&name).arg("1000000"));
    let adders = [adder(), adder()];
    for _ in 0..40 {
        let ended = write_int(name.path(), &["--add", "1"]);
        assert!(ended.status.success(), "{ended:?}");
    }
    for adder in adders {
        finish(adder).prints("");
    }
    read_int(name.path(), &[]).prints("2000040\n");
}

#[test]
fn every_operation_works_on_a_file() {
    let file = file_with([0; 16]);
    for (args, printed, value) in [
        (&["0b1100"][..], "", 12),
        (&["--or", "0b11"], "15\n", 15),
        (&["--and", "0b0110"], "6\n", 6),
        (&["--xor", "-1"], "-7\n", -7),
        (&["--swap", "8"], "-7\n", 8),
        (&["--add", "-9"], "-1\n", -1),
        (&["--if", "lt:0", "5"], "", 5),
        (&["--if", "5", "--add", "1"], "6\n", 6),
        (&["--if", "ne:0", "--or", "1"], "7\n", 7),
        (&["--if", "ge:7", "--wait", "--swap", "1"], "7\n", 1),
    ] {
        write_int(file.path(), &[args, &["--offset", "4"]].concat()).prints(printed);
        assert_eq!(int_on_disk(&file, 4), value, "{args:?}");
    }
    write_int(file.path(), &["10", "11", "12", "13"]).prints("");
    read_int(file.path(), &["--count", "all"]).prints("10\n11\n12\n13\n");
}

#[test]
fn a_refused_condition_and_an_overflow_change_nothing() {
    let file = file_with(i32::MAX.to_ne_bytes());
    file.as_file().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    write_int(file.path(), &["--if", "0", "1"]).fails(5);
    write_int(file.path(), &["--if", "lt:0", "--add", "1"]).fails(5);
    let problem = "2147483647 plus 1 is out of range: i32 is -2147483648 to 2147483647";
    for options in [&[][..], &["--if", "gt:0"], &["--if", "gt:0", "--wait"]] {
        let ended = write_int(file.path(), &[&["--add", "1"], options].concat());
        fails_with(ended, &file, problem);
    }
    assert_eq!(int_on_disk(&file, 0), i32::MAX);
    assert_eq!(file.as_file().metadata().unwrap().mtime(), 0);
}

#[test]
fn a_change_updates_the_modification_time_on_disk_and_in_memory() {
    let in_memory = Name::holding([0; 8]);
    let on_disk = file_with([0; 8]);
    for path in [in_memory.path(), on_disk.path().to_owned()] {
        for args in [&["1"][..], &["--add", "1"]] {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
            assert!(write_int(&path, args).status.success());
            assert!(fs::metadata(&path).unwrap().mtime() > 0);
        }
    }
}

#[test]
fn reading_needs_only_read_permission_and_storing_needs_both() {
    if !is_root() {
        return;
    }
    let name = Name::holding(3_i32.to_ne_bytes());
    let path = name.path();
    let set_mode = |mode| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(&path, permissions).unwrap();
    };
    set_mode(0o644);
    run(as_nobody(&mut on_file("read-int", &path))).prints("3\n");
    let store = || run(as_nobody(on_file("write-int", &path).arg("4")));
    fails_with(store(), &path, "permission denied");
    set_mode(0o666);
    store().prints("");
    set_mode(0o600);
    let read = run(as_nobody(&mut on_file("read-int", &path)));
    fails_with(read, &path, "permission denied");
}

#[test]
fn reading_a_hole_of_a_file_in_memory_allocates_nothing() {
    let name = Name::new();
    let file = fs::File::create(name.path()).unwrap();
    file.set_len(1 << 20).unwrap();
    let location = ["--offset", "8192"];
    for (args, printed) in [
        (&[][..], "0\n"),
        (&["--count", "3"], "0\n0\n0\n"),
        (&["--until", "0"], "0\n"),
        (&["--follow", "--count", "1"], "0\n"),
    ] {
        read_int(name.path(), &[&location, args].concat()).prints(printed);
    }
    let all = read_int(name.path(), &["-t", "u64", "--count", "all"]);
    assert_eq!(all.stdout, "0\n".repeat(1 << 17).as_bytes());
    for args in [&["--until", "1"][..], &["--follow"]] {
        let args = [args, &location, &["--timeout", "0.1"]].concat();
        assert_eq!(read_int(name.path(), &args).status.code(), Some(124));
    }
    write_int(name.path(), &["--if", "1", "--offset", "8192", "2"]).fails(5);
    assert_eq!(file.metadata().unwrap().blocks(), 0);
    write_int(name.path(), &["--offset", "8192", "1"]).prints("");
    assert_eq!(file.metadata().unwrap().blocks(), 8, "one page");
}
