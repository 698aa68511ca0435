//! Files that cannot be mapped, or that report a wrong size, are printed as the system's `cat` prints them.

use crate::common::disk::Disk;
use crate::common::fuse::Fuse;
use crate::common::*;
use crate::path_of;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

fn cat(args: &[&str], file: impl AsRef<Path>) -> Ended {
    run(shmtool(["cat"]).args(args).arg(file.as_ref()))
}

#[test]
fn files_that_cannot_be_mapped_or_report_a_wrong_size_are_printed() {
    in_private_shm("size=4m", || {
        // Linux before 6.6 can map only the file "less".
        for mount in [Fuse::mount, Fuse::mount_with_mappings] {
            let Some(fuse) = mount() else { return };
            for (file, length) in [("direct", 50000), ("more", 5000), ("less", 10)] {
                let bytes = Fuse::bytes(length);
                cat(&[], fuse.path(file)).prints(&bytes);
                cat(&["--offset", "5", "--length", "3"], fuse.path(file)).prints(&bytes[5..8]);
                cat(&["--offset", "64K"], fuse.path(file)).prints("");
            }
            let part = ["--offset", "4096", "--length", "20"];
            cat(&part, fuse.path("more")).prints(&Fuse::bytes(5000)[4096..4116]);
        }
    });
}

#[test]
fn an_io_error_is_reported_after_the_readable_data_is_printed() {
    in_private_shm("size=4m", || {
        let Some(fuse) = Fuse::mount() else { return };
        for (file, length) in [("torn", 256 << 10), ("unreadable", 0)] {
            let path = fuse.path(file);
            let printed = cat(&[], &path);
            printed.says(format!("{}: Input/output error", path.display()));
            assert_eq!(printed.status.code(), Some(1));
            assert!(printed.stdout == Fuse::bytes(length), "{file}");
        }
        // The data after the unreadable part can be printed.
        let part = ["--offset", "512K"];
        cat(&part, fuse.path("torn")).prints(&Fuse::bytes(1 << 20)[512 << 10..]);
    });
}

#[test]
fn a_part_of_a_block_device_is_printed() {
    let bytes = Fuse::bytes(3 << 20);
    let Some(disk) = Disk::with_contents(&bytes) else {
        return;
    };
    cat(&[], disk.path()).prints(&bytes);
    let part = ["--offset", "2M", "--length", "100"];
    cat(&part, disk.path()).prints(&bytes[2 << 20..][..100]);
    for offset in ["3M", "1T", "0x7fffffffffffffff"] {
        cat(&["--offset", offset], disk.path()).prints("");
    }
    // The offset is relative to the position of standard input.
    let mut stdin = File::open(disk.path()).unwrap();
    stdin.seek(SeekFrom::Start(7)).unwrap();
    run(shmtool(["cat", "--offset", "1M", "--length", "9"]).stdin(stdin))
        .prints(&bytes[(1 << 20) + 7..][..9]);
}

#[test]
fn seekable_files_are_not_read_from_the_start() {
    let text = Box::new(*b"here it is");
    let address = text.as_ptr().addr();
    let mem = format!("/proc/{}/mem", std::process::id());
    if File::open(&mem).is_err() || !is_root() {
        return skipped("no right to read the memory of another process");
    }
    // Address 0 is not mapped, so a read that started there would fail.
    let part = ["--offset", &address.to_string(), "--length", "10"];
    cat(&part, &mem).prints(*text);
    // The file has one entry of 8 bytes per page.
    let pagemap = format!("/proc/{}/pagemap", std::process::id());
    let offset = (address / 4096 * 8).to_string();
    let printed = cat(&["--offset", &offset, "--length", "8"], pagemap);
    assert_eq!((printed.stdout.len(), printed.stderr.as_str()), (8, ""));
}

#[test]
fn devices_on_which_lseek_has_no_effect_are_read_up_to_the_offset() {
    let part = ["--offset", "300K", "--length", "5"];
    cat(&part, "/dev/zero").prints([0; 5]);
    cat(&part, "/dev/null").prints("");
    assert_eq!(cat(&part, "/dev/urandom").stdout.len(), 5);
}

#[test]
fn a_pipe_is_read_up_to_the_offset() {
    let file = crate::file_with(&Fuse::bytes(300 << 10));
    let mut source = std::process::Command::new("cat");
    source
        .arg(path_of(&file))
        .stdout(std::process::Stdio::piped());
    let mut source = source.spawn().unwrap();
    let part = ["--offset", "200K", "--length", "5"];
    run(shmtool(["cat"])
        .args(part)
        .stdin(source.stdout.take().unwrap()))
    .prints(&Fuse::bytes(300 << 10)[200 << 10..][..5]);
    // SIGPIPE may have killed it.
    source.wait().unwrap();
}
