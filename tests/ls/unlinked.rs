//! `--unlinked`: objects whose names are gone but whose memory is still in use.

use crate::common::*;
use crate::processes::{current_user, spawn_holder, spawn_opener};
use crate::{json, table};
use std::fs;

#[test]
fn unlinked_objects_are_listed_with_their_processes() {
    let Some(c) = c_program() else { return };
    in_private_shm("size=4m", || {
        for name in ["gone", "there", "sem.gone", "new\nline (deleted)"] {
            fs::write(format!("/dev/shm/{name}"), [1; 5000]).unwrap();
        }
        let (_gone, pid) = spawn_holder(c, "hold", "/gone");
        let (_there, _) = spawn_holder(c, "hold", "/there");
        let (_semaphore, _) = spawn_holder(c, "hold", "/sem.gone");
        let (_line, _) = spawn_holder(c, "hold", "/new\nline (deleted)");
        assert_eq!(table(&["--unlinked"]).len(), 1);
        fs::remove_file("/dev/shm/gone").unwrap();
        fs::remove_file("/dev/shm/sem.gone").unwrap();
        // A new object that takes the old name is a different object.
        fs::write("/dev/shm/gone", "").unwrap();
        let rows = table(&["--unlinked", "-b"]);
        assert_eq!(rows.len(), 2);
        // Without permission to follow /proc/PID/map_files, the size of a mapped object is known only in whole pages.
        assert_eq!(rows[1][0], "/gone");
        assert!(["5000", "8192"].contains(&rows[1][1].as_str()), "{rows:?}");
        assert_eq!(
            rows[1][rows[1].len() - 7..].join(" "),
            format!(
                "{pid} {} mapped r {} hold /gone",
                current_user(),
                c.display()
            )
        );
        assert_eq!(table(&["--unlinked", "-a"]).len(), 3);
        assert_eq!(table(&["--unlinked", "--glob", "x*"]).len(), 1);
        fs::remove_file("/dev/shm/new\nline (deleted)").unwrap();
        let listing = json(&["--unlinked", "-g", "new*"]);
        assert_eq!(listing["objects"][0]["name"], "/new\nline (deleted)");
        run(&mut shmtool(["ls", "--unlinked", "gone"])).fails(2);
        run(&mut shmtool(["ls", "--unlinked", "--unused"])).fails(2);
    });
}

#[test]
fn an_unlinked_object_that_is_open_has_all_columns() {
    in_private_shm("size=4m", || {
        run(&mut shmtool(["create", "-s", "5000", "-m", "640", "gone"])).prints("");
        let (opener, _) = spawn_opener("exec 3< /dev/shm/gone");
        fs::remove_file("/dev/shm/gone").unwrap();
        let rows = table(&[
            "--unlinked",
            "-o",
            "name,size,allocated,mode,links,pid,access",
        ]);
        let pid = opener.id();
        assert_eq!(
            rows[1].join(" "),
            format!("/gone 4.9KiB 8KiB rw-r----- 0 {pid} open r")
        );
    });
}

#[test]
fn filters_exclude_unlinked_objects_whose_properties_are_unknown() {
    let Some(c) = c_program() else { return };
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/gone", [0; 4]).unwrap();
        let (_holder, _) = spawn_holder(c, "hold", "/gone");
        fs::remove_file("/dev/shm/gone").unwrap();
        assert_eq!(table(&["--unlinked", "--older-than", "1h"]).len(), 1);
        assert_eq!(table(&["--unlinked", "--owner", "4000000000"]).len(), 1);
    });
}
