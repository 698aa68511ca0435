//! `-o`: choosing columns, in the table and in JSON.

use crate::common::*;
use crate::{json, table};
use std::fs;
use std::os::unix::fs::MetadataExt;

#[test]
fn every_column_can_be_chosen_and_is_a_json_key() {
    in_private_shm("size=4m", || {
        run(&mut shmtool(["create", "-s", "5000", "-m", "640", "x"])).prints("");
        let stat = fs::metadata("/dev/shm/x").unwrap();
        let (uid, inode) = (stat.uid().to_string(), stat.ino().to_string());
        let rows = table(&["-o", "links,name,uid,inode,type,size,mode"]);
        assert_eq!(
            rows[0],
            ["LINKS", "NAME", "UID", "INODE", "TYPE", "SIZE", "MODE"]
        );
        assert_eq!(
            rows[1],
            ["1", "/x", &uid, &inode, "memory", "4.9KiB", "rw-r-----"]
        );
        assert_eq!(
            table(&["-o", "size,allocated,used", "-b"])[1],
            ["5000", "8192", "8192"]
        );
        assert_eq!(
            table(&["-n", "-o", "owner,group"])[1],
            [uid, stat.gid().to_string()]
        );

        let object = json(&[])["objects"][0].clone();
        let keys: Vec<_> = object.as_object().unwrap().keys().cloned().collect();
        let documented_keys: Vec<_> = keys.iter().filter(|key| *key != "used").collect();
        let capitals: Vec<_> = documented_keys
            .iter()
            .map(|key| key.to_uppercase())
            .collect();
        assert_eq!(table(&["-o", &capitals.join(",")])[0], capitals);
        let mut all = table(&["-o", "all"]).remove(0);
        all.sort();
        assert_eq!(all, capitals);
        let help = String::from_utf8(run(&mut shmtool(["ls", "--help"])).stdout).unwrap();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_explained = |key: &&String| help.contains(&format!("{key} ("));
        assert!(documented_keys.iter().all(is_explained), "{help}");
    });
}

#[test]
fn a_plus_adds_to_the_default_columns_and_repeated_lists_add_up() {
    in_private_shm("size=4m", || {
        let header = |args: &[&str]| table(args)[0].join(" ").to_lowercase();
        let default = header(&[]);
        assert_eq!(
            header(&["-o", "+inode,links"]),
            format!("{default} inode links")
        );
        assert_eq!(
            header(&["-o", "+inode", "-o", "gid"]),
            format!("{default} inode gid")
        );
        assert_eq!(header(&["-o", "inode", "-o", "+gid,inode"]), "inode gid");
        let processes = " pid user access command";
        assert_eq!(header(&["-p"]), default.clone() + processes);
        assert_eq!(
            header(&["-p", "-o", "+gid"]),
            default.clone() + processes + " gid"
        );
        assert_eq!(header(&["-o", "+user"]), default.clone() + processes);
        assert_eq!(
            header(&["-p", "-o", "all"]),
            header(&["-o", "all"]) + processes
        );
        // in-use takes a lease, which others may notice, so it is shown only if it is named.
        assert_eq!(header(&["-o", "+in-use"]), default + " in-use");
        for list in ["name,color", "", "+", "name,", "private"] {
            let wrong = list.rsplit([',', '+']).next().unwrap();
            let wrong = if wrong.is_empty() { "''" } else { wrong };
            let list = ["ls", "-o", list];
            let ended = run(&mut shmtool(list));
            let message = format!(
                "no such column: {wrong}\nhint: the columns are name place place-pid type size "
            );
            assert!(ended.fails(2).stderr.contains(&message), "{ended:?}");
        }
    });
}

#[test]
fn json_has_only_the_chosen_columns() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/x", [1; 10]).unwrap();
        let used = fs::File::open("/dev/shm/x").unwrap();
        let object = |args: &[&str]| json(args)["objects"][0].clone();
        let everything = object(&[]);
        assert_eq!(everything.get("in_use"), None);
        assert_eq!(
            object(&["-o", "size,in-use"]),
            json!({ "size": 10, "in_use": true })
        );
        let mut more = object(&["-o", "+in-use"]);
        assert_eq!(
            more.as_object_mut().unwrap().remove("in_use"),
            Some(json!(true))
        );
        assert_eq!(more, everything);
        let pid = std::process::id();
        assert_eq!(
            object(&["-o", "name,pid,access"]),
            json!({ "name": "/x", "processes": [{ "pid": pid, "access": "open r" }] })
        );
        drop(used);
        assert_eq!(object(&["-o", "in-use"]), json!({ "in_use": false }));
        assert_eq!(object(&["-o", "pid"]), json!({ "processes": [] }));
    });
}

#[test]
fn in_use_is_yes_or_no_for_the_owner_and_unknown_to_others() {
    in_private_shm("size=4m", || {
        for name in ["free", "used"] {
            fs::write(format!("/dev/shm/{name}"), "").unwrap();
        }
        let _used = fs::File::open("/dev/shm/used").unwrap();
        let rows = |ls: &mut std::process::Command| {
            String::from_utf8(run(ls.args(["-o", "name,in-use", "--no-header"])).stdout).unwrap()
        };
        assert_eq!(rows(&mut shmtool(["ls"])), "/free  no\n/used  yes\n");
        if is_root() {
            // Only the owner may take a lease.
            assert_eq!(
                rows(as_nobody(&mut shmtool(["ls"]))),
                "/free  ?\n/used  ?\n"
            );
        }
    });
}
