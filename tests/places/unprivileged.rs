//! Users who are not root, and their own containers. These tests also work if an unprivileged user runs them.

use crate::common::*;
use crate::*;
use nix::unistd::geteuid;
use std::process::Command;

const SCRIPT: &str = "
mount -t tmpfs -o size=4m,mode=1777 tmpfs /dev/shm
cd /dev/shm
echo >free
echo >used
exec 3<used
";

/// The user who has the container.
fn owner() -> u32 {
    match geteuid().is_root() {
        true => NOBODY,
        false => geteuid().as_raw(),
    }
}

fn start() -> Option<Container> {
    let setup = Setup::new(&["--user", "--map-root-user", "--mount"]);
    let setup = match geteuid().is_root() {
        true => setup.user(NOBODY),
        false => setup,
    };
    setup.start(SCRIPT)
}

fn as_user(id: u32, args: &[&str]) -> Ended {
    let mut command: Command = shmtool(args);
    if geteuid().is_root() {
        use std::os::unix::process::CommandExt;
        command.uid(id).gid(id);
    }
    run(&mut command)
}

#[test]
fn users_can_list_and_sweep_their_own_containers() {
    in_private_system(SHM, || {
        let Some(container) = start() else { return };
        let owner = owner();
        let target = container.target();
        as_user(owner, &["ls", "-q", "--target", &target]).prints("/free\n/used\n");
        let ls = ["ls", "--everywhere", "--no-header", "-o", "name,place,pid"];
        let listed = as_user(owner, &ls);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let (place, pid) = (container.place(), container.pid());
        assert_eq!(
            lines(&listed).into_iter().map(words).collect::<Vec<_>>(),
            [format!("/free {place} -"), format!("/used {place} {pid}")],
            "{listed:?}"
        );
        as_user(owner, &["create", "--target", &target, "-s", "4K", "new"]).prints("");
        as_user(owner, &["write-int", "--target", &target, "new", "5"]).prints("");
        as_user(owner, &["read-int", "--target", &target, "new"]).prints("5\n");
        as_user(owner, &["cat", "--shm", "--target", &target, "used"]).prints("\n");
        let command = ["create", "--target", &target, "scoped", "--", "id", "-u"];
        as_user(owner, &command).prints(format!("{owner}\n"));
        as_user(owner, &["unlink", "--target", &target, "new"]).prints("");
        let swept = as_user(owner, &["unlink", "--everywhere", "-v", "--unused"]);
        assert_eq!(removed(&swept), [format!("/free {place}")], "{swept:?}");
        assert_eq!(container.names(), ["used"]);
    });
}

#[test]
fn other_users_may_not_enter_a_container() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let Some(rootless) = start() else { return };
        let other = 65533;
        for container in [rootless, Container::start(SCRIPT)] {
            let (target, pid) = (container.target(), container.pid());
            for verb in [
                &["ls"][..],
                &["unlink", "free"],
                &["unlink", "--unused"],
                &["read-int", "free"],
                &["create", "x"],
            ] {
                let args = [verb, &["--target", &target]].concat();
                as_user(other, &args).fails(1).says(format!(
                    "process {pid}: permission denied\nhint: root may enter any container, and the user \
                     who started a container may enter it"
                ));
            }
            let swept = as_user(other, &["unlink", "--everywhere", "-v", "--unused"]);
            assert_eq!(
                (swept.status.code(), &swept.stdout[..]),
                (Some(0), &b""[..])
            );
            let expected = "could not be inspected (";
            assert!(swept.stderr.contains(expected), "{swept:?}");
            assert!(swept.stderr.contains(&target), "{swept:?}");
            // In a cron job, without -v, that would only be noise.
            as_user(other, &["unlink", "--everywhere", "--unused"]).prints("");
            assert_eq!(container.names(), ["free", "used"]);
        }
    });
}

#[test]
fn a_container_with_subordinate_ids_belongs_to_the_user_who_started_it() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        // As newuidmap(1) maps them.
        let ids = "0 65534 1\n1 100000 1000\n";
        let script = "cd /dev/shm; echo >0; echo >7; chown 7:7 7\n";
        let Some(container) = Container::start_mapped(ids, script) else {
            return;
        };
        let ls = ["ls", "--target", &container.target(), "--no-header", "-n"];
        let listed = as_user(NOBODY, &[&ls[..], &["-o", "name,owner"]].concat());
        let owners: Vec<_> = lines(&listed)
            .into_iter()
            .map(|line| line.split_whitespace().last().unwrap())
            .collect();
        assert_eq!(owners, ["65534", "100006"]);
        let swept = as_user(NOBODY, &["unlink", "--everywhere", "-v", "--unused"]);
        assert_eq!(removed(&swept).len(), 2, "{swept:?}");
        assert_eq!(container.names(), [""; 0]);
    });
}
