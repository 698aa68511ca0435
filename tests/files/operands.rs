//! Missing and small files, files that have the name of an object, and options that exclude each other.

use crate::common::*;
use crate::*;
use tempfile::TempDir;

/// Option lists of `read-int` that look once, wait, and follow.
const READS: [&[&str]; 4] = [
    &[],
    &["--until", "5"],
    &["--follow"],
    &["--count", "all", "--until", "5"],
];

/// VALUEs and options of `write-int` that store, change, and wait.
const WRITES: [&[&str]; 6] = [
    &["1"],
    &["1", "2"],
    &["--add", "1"],
    &["--if", "0", "1"],
    &["--if", "0", "--wait", "1"],
    &["--if", "ge:1", "--wait", "--timeout", "10", "--add", "-1"],
];

#[test]
fn a_missing_file_is_an_error_at_the_start_and_not_created() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("missing");
    let problem = "No such file or directory";
    for args in READS {
        fails_with(read_int(&path, args), &path, problem);
    }
    for args in WRITES {
        fails_with(write_int(&path, args), &path, problem);
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    fails_with(read_int("", &[]), "''", problem);
}

#[test]
fn a_file_that_is_too_small_is_an_error_at_the_start_and_not_grown() {
    for size in [0, 3, 7] {
        let file = file_with(vec![1; size]);
        let problem = |ints, offset, end| {
            format!("too small: {ints} at offset {offset} needs {end} bytes, the file has {size}")
        };
        for args in READS.iter().filter(|args| args.first() != Some(&"--count")) {
            let ended = read_int(file.path(), &[args, &["--offset", "4"][..]].concat());
            fails_with(ended, &file, &problem("i32", 4, 8));
        }
        for args in WRITES.iter().filter(|args| args.len() != 2) {
            let ended = write_int(file.path(), &[args, &["--offset", "4"][..]].concat());
            fails_with(ended, &file, &problem("i32", 4, 8));
        }
        let ended = write_int(file.path(), &["-t", "u64", "--offset", "1", "1"]);
        fails_with(ended, &file, &problem("u64", 1, 9));
        assert_eq!(fs::read(&file).unwrap(), vec![1; size]);
    }
}

#[test]
fn several_values_that_do_not_fit_change_nothing() {
    let file = file_with([9; 8]);
    let ended = write_int(file.path(), &["1", "2", "3"]);
    let problem = "too small: 3 i32 at offset 0 need 12 bytes, the file has 8";
    fails_with(ended, &file, problem);
    let ended = write_int(file.path(), &["--offset", "0x7ffffffffffffff8", "1"]);
    assert!(ended.stderr.contains("too small"), "{ended:?}");
    ended.fails(1);
    assert_eq!(fs::read(&file).unwrap(), [9; 8]);
}

#[test]
fn a_store_between_the_end_of_the_file_and_the_end_of_its_page_is_an_error() {
    // A mapping has room for these stores, and the kernel drops them.
    let file = file_with([9; 10]);
    for (offset, end) in [("8", 12), ("12", 16), ("4092", 4096)] {
        let problem =
            format!("too small: i32 at offset {offset} needs {end} bytes, the file has 10");
        fails_with(
            write_int(file.path(), &["--offset", offset, "1"]),
            &file,
            &problem,
        );
        fails_with(
            read_int(file.path(), &["--offset", offset]),
            &file,
            &problem,
        );
    }
    write_int(file.path(), &["--offset", "4", "1"]).prints("");
    assert_eq!(fs::read(&file).unwrap().len(), 10);
}

#[test]
fn an_integer_in_the_last_bytes_is_changed_though_its_word_goes_beyond_the_end() {
    let file = file_with([9; 7]);
    write_int(file.path(), &["-t", "i8", "--offset", "6", "--add", "1"]).prints("10\n");
    write_int(file.path(), &["-t", "u16", "--offset", "5", "0"]).prints("");
    assert_eq!(fs::read(&file).unwrap(), [9, 9, 9, 9, 9, 0, 0]);
}

/// An object and a file of the same name in the current directory of the commands. The object is not created.
struct Namesakes {
    directory: TempDir,
    name: Name,
}

impl Namesakes {
    fn new() -> Namesakes {
        let (directory, name) = (TempDir::new().unwrap(), Name::new());
        let namesakes = Namesakes { directory, name };
        fs::write(namesakes.file(), 3_i32.to_ne_bytes()).unwrap();
        namesakes
    }

    /// The name without its slash.
    fn relative(&self) -> String {
        self.name.to_string()[1..].to_owned()
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join(self.relative())
    }

    fn run(&self, args: &[&str]) -> Ended {
        run(shmtool(args).current_dir(&self.directory))
    }
}

#[test]
fn a_path_without_the_option_gets_the_hint_at_it() {
    let namesakes = Namesakes::new();
    let path = format!("./{}", namesakes.relative());
    for args in [&["read-int", &path][..], &["write-int", &path, "1"]] {
        let ended = namesakes.run(args);
        fails_mentioning(&ended, 2, &[&path, "\nhint: to use a file, add --file\n"]);
    }
    assert_eq!(int_on_disk(namesakes.file(), 0), 3);
}

#[test]
fn a_missing_object_with_the_name_of_a_file_gets_the_hint_at_the_option() {
    let namesakes = Namesakes::new();
    let (name, relative) = (&namesakes.name, namesakes.relative());
    let hint = "hint: to use the file of that name, add --file";
    for args in [
        &["read-int", &relative][..],
        &["write-int", "--no-create", &relative, "1"],
        &["write-int", "--no-create", &relative, "--add", "1"],
    ] {
        let ended = namesakes.run(args);
        fails_mentioning(&ended, 3, &[&format!("shmtool: {name}: "), hint]);
    }
    assert!(!name.path().exists());
    // The hint does not keep read-int from waiting for the object.
    let mut read = shmtool(["read-int", "--until", "1", &relative]);
    let waiter = spawn_waiter(read.current_dir(&namesakes.directory));
    fs::write(name.path(), 1_i32.to_ne_bytes()).unwrap();
    finish(waiter).prints("1\n");
}

#[test]
fn a_missing_file_with_the_name_of_an_object_gets_the_hint_to_omit_the_option() {
    let name = Name::holding(4_i32.to_ne_bytes());
    let hint = "hint: to use the shared memory object of that name, omit --file";
    let relative = &name.to_string()[1..];
    for operand in [name.to_string(), relative.to_owned()] {
        let message = format!("{operand}: No such file or directory\n{hint}");
        read_int(&operand, &[]).fails(1).says(&message);
        read_int(&operand, &["--until", "4"])
            .fails(1)
            .says(&message);
        write_int(&operand, &["5"]).fails(1).says(&message);
        write_int(&operand, &["--if", "4", "--wait", "5"])
            .fails(1)
            .says(&message);
    }
    run(shmtool(["read-int"]).arg(&name)).prints("4\n");
}

#[test]
fn a_note_says_that_an_object_was_created_though_a_file_has_its_name() {
    let namesakes = Namesakes::new();
    let (name, relative) = (&namesakes.name, namesakes.relative());
    let ended = namesakes.run(&["write-int", &relative, "7"]);
    let note = "created a shared memory object; to change the file of that name, add --file";
    assert!(
        ended.status.success() && ended.stdout.is_empty(),
        "{ended:?}"
    );
    ended.says(format!("{name}: {note}"));
    assert_eq!(int_on_disk(namesakes.file(), 0), 3);
    // Once the object exists, or if the name has a slash, it is clear what is meant.
    namesakes.run(&["write-int", &relative, "8"]).prints("");
    fs::remove_file(name.path()).unwrap();
    namesakes
        .run(&["write-int", &name.to_string(), "8"])
        .prints("");
}

#[test]
fn options_that_exclude_each_other_are_usage_errors() {
    let file = file_with([0; 8]);
    let own = std::process::id().to_string();
    for args in [
        &["--target", &own, "1"][..],
        &["--no-create", "1"],
        &["--no-create", "--if", "0", "--wait", "1"],
        &["--timeout", "1", "--if", "0", "1"],
        &["--wait", "1"],
        &["--add", "--or", "1"],
        &["--add", "1", "2"],
        &["--offset", "2", "--add", "1"],
        &["--endian", "middle", "1"],
    ] {
        assert_ne!(write_int(file.path(), args).fails(2).stderr, "", "{args:?}");
    }
    for args in [
        &["--target", &own][..],
        &["--sync"],
        &["--follow", "--until", "1"],
        &["--follow", "--count", "all"],
        &["--offset", "2", "--until", "1"],
    ] {
        assert_ne!(read_int(file.path(), args).fails(2).stderr, "", "{args:?}");
    }
    let name = Name::new();
    let ended = run(shmtool(["write-int", "--sync"]).arg(&name).arg("1"));
    fails_mentioning(&ended, 2, &["--file"]);
    assert!(!name.path().exists());
    assert_eq!(fs::read(&file).unwrap(), [0; 8]);
}

#[test]
fn a_symbolic_link_leads_to_the_file() {
    let directory = TempDir::new().unwrap();
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    fs::write(&file, [0; 4]).unwrap();
    std::os::unix::fs::symlink("file", &link).unwrap();
    write_int(&link, &["5"]).prints("");
    assert_eq!(int_on_disk(&file, 0), 5);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let waiter = spawn_waiter(on_file("read-int", &link).args(["--until", "6"]));
    write_int(&file, &["6"]).prints("");
    finish(waiter).prints("6\n");
}

#[test]
fn a_name_that_is_not_text_or_starts_with_a_dash_works() {
    let directory = TempDir::new().unwrap();
    let name: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"n\xff\n");
    for operand in [name, OsStr::new("-5"), OsStr::new("1")] {
        fs::write(directory.path().join(operand), [0; 4]).unwrap();
        let mut write = shmtool(["write-int", "--file", "--"]);
        run(write.arg(operand).arg("7").current_dir(&directory)).prints("");
        assert_eq!(int_on_disk(directory.path().join(operand), 0), 7);
    }
    let missing: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"m\xff\n");
    read_int(missing, &[])
        .fails(1)
        .says(r"m\xff\n: No such file or directory");
}
