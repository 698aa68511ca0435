//! What `ls --everywhere` lists.

use crate::common::cgroup::MemoryCgroup;
use crate::common::*;
use crate::*;
use serde_json::Value;

const BIND: &str = "mount --bind /mnt /dev/shm\n";

fn start(script: &str) -> Container {
    Setup::new(&["--mount"]).start(script).unwrap()
}

#[test]
fn every_container_is_listed_with_its_place() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        create("/dev/shm/x", 0o600, 0);
        let one = Container::start("echo >/dev/shm/x\n");
        let two = Container::start("echo >/dev/shm/x; echo >/dev/shm/sem.s\n");
        let columns = "name,place,place-pid,size";
        let [first, second] = [&one, &two].map(Container::pid);
        let expected = [
            "/x - ? 4B".to_owned(),
            format!("/x pid:{first} {first} 1B"),
            format!("/x pid:{second} {second} 1B"),
        ];
        let mut listed = rows(columns, &[]);
        listed.sort_unstable();
        assert_eq!(listed, expected.map(|row| row.replace('?', &own_pid(&row))));
        assert_eq!(rows("name", &["-a"]).len(), 4);
        let header = run(&mut shmtool(["ls", "--everywhere"]));
        assert!(lines(&header)[0].starts_with("NAME  PLACE"), "{header:?}");
    });
}

/// What the column shows for our own place: it has no process.
fn own_pid(row: &str) -> String {
    let listed = rows("place-pid", &["--glob", "x"]);
    let own = listed.into_iter().find(|pid| pid.parse::<i32>().is_err());
    own.unwrap_or_else(|| panic!("{row}"))
}

#[test]
fn a_tmpfs_in_two_containers_is_listed_once_and_its_subdirectory_is_another_place() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        mount_volume("size=1m");
        fs::write("/mnt/shared", "").unwrap();
        fs::create_dir("/mnt/sub").unwrap();
        fs::write("/mnt/sub/inner", "").unwrap();
        let (one, _two) = (start(BIND), start(BIND));
        let sub = start("mount --bind /mnt/sub /dev/shm\n");
        let ours = start("");
        fs::write("/dev/shm/ours", "").unwrap();
        assert_eq!(
            rows("name,place", &[]),
            [
                format!("/inner {}", sub.place()),
                "/ours -".to_owned(),
                format!("/shared {}", one.place())
            ]
        );
        // A container that shares our directory.
        run(&mut shmtool(["ls", "-q", "--target", &ours.target()])).prints("/ours\n");
        let places = json(&["--everywhere"])["places"].clone();
        assert_eq!(places.as_array().unwrap().len(), 3, "{places}");
        assert_eq!(places[1]["device"], places[2]["device"]);
    });
}

#[test]
fn the_first_process_of_a_pid_namespace_stands_for_its_container() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "
unshare --pid --fork --kill-child sh -c '
    read pid rest </proc/self/stat; echo $pid >/dev/shm/pid; exec sleep 1000' &
while ! [ -s /dev/shm/pid ]; do sleep 0.01; done
";
        let container = Container::start(script);
        let init = fs::read_to_string(container.path("pid")).unwrap();
        assert_ne!(init.trim(), container.target());
        assert_eq!(
            rows("name,place", &[]),
            [format!("/pid pid:{}", init.trim())]
        );
        // Without such a process, the oldest one does.
        let container = Container::start("echo >/dev/shm/x; sleep 1000 & sleep 1000 &\n");
        assert_eq!(
            rows("name,place", &["--glob", "x"]),
            [format!("/x {}", container.place())]
        );
    });
}

#[test]
fn json_has_all_places_and_the_ids_that_the_container_sees() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        fs::write("/dev/shm/a", "").unwrap();
        let script = "echo >/dev/shm/b; chown 7:8 /dev/shm/b; exec 3</dev/shm/b\n";
        let Some(container) = Container::start_mapped("0 100000 1000", script) else {
            return;
        };
        let listed = json(&["--everywhere", "-p"]);
        let [ours, theirs] = &listed["objects"].as_array().unwrap()[..] else {
            panic!("{listed}")
        };
        assert_eq!(
            (&ours["place"], &ours["place_pid"]),
            (&"-".into(), &Value::Null)
        );
        assert_eq!(ours["processes"], serde_json::json!([]));
        for (key, value) in [
            ("name", "/b".into()),
            ("place", container.place().into()),
            ("place_pid", container.pid().into()),
            ("uid", Value::from(100_007)),
            ("gid", 100_008.into()),
            ("place_uid", 7.into()),
            ("place_gid", 8.into()),
        ] {
            assert_eq!(theirs[key], value, "{key}");
        }
        assert_eq!(theirs["processes"][0]["pid"], container.pid());
        let [own, other] = &listed["places"].as_array().unwrap()[..] else {
            panic!("{listed}")
        };
        assert_eq!(own["place"], "-");
        assert!(own["pid"].is_null() && own["container"].is_null() && own["cgroup"].is_null());
        assert_eq!(own["filesystem"], listed["filesystem"]);
        assert_eq!(other["place"], container.place());
        assert_eq!(other["pid"], container.pid());
        assert!(other["container"].is_null() && other["cgroup"].is_string());
        assert!(other["device"].as_str().unwrap().starts_with("0:"));
        assert_eq!(other["filesystem"]["size"], 4 << 20);
        assert_eq!(other["filesystem"]["inodes_used"], 2);
        // Without --everywhere, there are no such members.
        let own = json(&[]);
        assert!(own["places"].is_null() && own["objects"][0]["place"].is_null());
    });
}

#[test]
fn a_name_is_an_error_with_a_hint_and_so_are_options_for_one_place() {
    for args in [
        &["ls", "--everywhere", "x"][..],
        &["unlink", "--everywhere", "x"],
        &["unlink", "--everywhere", "--unused", "x"],
    ] {
        run(&mut shmtool(args))
            .fails(2)
            .says("--everywhere takes no NAME\nhint: --glob NAME selects objects by their name");
    }
    run(&mut shmtool(["ls", "--everywhere", "-q"])).fails(2);
    run(&mut shmtool(["unlink", "--everywhere"])).fails(2);
}

#[test]
fn a_container_is_named_after_its_cgroup_and_two_in_one_cgroup_are_ambiguous() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let seed = format!("{:08x}", fastrand());
        let id = seed.repeat(8);
        let Some(cgroup) = MemoryCgroup::named(&id, 1 << 40) else {
            return;
        };
        let start = |script: &str| {
            let setup = Setup::new(&["--mount"]).command(|command| {
                cgroup.run(command);
            });
            setup.start(&[Container::TMPFS, script].concat()).unwrap()
        };
        let one = start("echo 1 >/dev/shm/one\n");
        let label = &id[..12];
        assert_eq!(
            rows("name,place,place-pid", &[]),
            [format!("/one {label} {}", one.pid())]
        );
        let place = &json(&["--everywhere"])["places"][1];
        assert_eq!(place["container"], id);
        let path = place["cgroup"].as_str().unwrap();
        assert!(path.ends_with(&format!("/{id}")), "{path}");
        let cat = |target: &str| run(&mut shmtool(["cat", "--shm", "one", "--target", target]));
        cat(label).prints("1\n");
        cat(&id).prints("1\n");

        let two = start("echo 2 >/dev/shm/one\n");
        let (first, second) = (one.pid(), two.pid());
        cat(label).fails(1).says(format!(
            "{label}: 2 places have this label\nhint: give one of the PIDs: {first}, {second}"
        ));
        cat(&two.target()).prints("2\n");
        let (swept, _) = sweep_all(&[]);
        assert_eq!(swept, [format!("/one {label}"), format!("/one {label}")]);
        drop((one, two));
    });
}

#[test]
fn unlinked_objects_of_containers_are_nameless_memory() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let container = Container::start("exec 3<>/dev/shm/x; echo 1 >&3; rm /dev/shm/x\n");
        let pid = container.pid();
        for everywhere in [&[][..], &["--everywhere"]] {
            let columns = "type,name,allocated,pid";
            let mut ls = shmtool(["ls", "--nameless", "--no-header", "-o", columns]);
            let listed = run(ls.args(everywhere));
            let words: Vec<_> = lines(&listed)[0].split_whitespace().collect();
            assert_eq!(words, ["unlinked", "/x", "4KiB", &pid.to_string()]);
        }
        assert_eq!(
            rows("name,place", &["--unlinked"]),
            [format!("/x {}", container.place())]
        );
    });
}

#[test]
fn memory_without_a_name_belongs_to_the_place_that_its_process_sees() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let shmtool = env!("CARGO_BIN_EXE_shmtool");
        let memfd = "create --anonymous -s 4K inside -- sleep 1000";
        let container = Container::start(&format!("{shmtool} {memfd} &\n"));
        let mut own = spawn(&mut crate::common::shmtool(
            memfd.replace("inside", "outside").split(' '),
        ));
        let listed = || rows("name,place", &["--nameless", "--glob", "memfd:*side"]);
        wait_until(|| listed().len() == 2);
        let place = container.place();
        assert_eq!(
            listed(),
            [format!("memfd:inside {place}"), "memfd:outside -".into()]
        );
        own.kill().unwrap();
        own.wait().unwrap();
    });
}

#[test]
fn all_places_are_listed_even_if_a_child_cannot_be_started_at_first() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        // More than one child is needed for these.
        let containers: Vec<_> = (0..9)
            .map(|_| Container::start("echo >/dev/shm/x\n"))
            .collect();
        for inject in [
            "clone,clone3,fork,vfork:error=EAGAIN:when=1",
            "clone,clone3,fork,vfork:error=EAGAIN:when=2+3",
            "pidfd_open:error=EMFILE:when=2",
            "socketpair:error=EMFILE:when=2",
        ] {
            let list = [
                "ls",
                "--everywhere",
                "--no-header",
                "-o",
                "name",
                "--glob",
                "x",
            ];
            let Some(mut list) = strace(&["-e", &format!("inject={inject}")], list) else {
                return;
            };
            assert_eq!(
                lines(&run(&mut list)),
                vec!["/x"; containers.len()],
                "{inject}"
            );
        }
    });
}

/// A number that differs each time.
fn fastrand() -> u32 {
    let time = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    time.subsec_nanos() ^ time.as_secs() as u32
}
