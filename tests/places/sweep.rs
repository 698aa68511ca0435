//! What `unlink --everywhere` removes.

use crate::common::*;
use crate::*;

const SCRIPT: &str = "
cd /dev/shm
echo >free
echo >used
echo >sem.s
exec 3<used
";

#[test]
fn a_sweep_takes_exactly_what_nobody_uses_in_any_container() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        for name in ["free", "used"] {
            create(format!("/dev/shm/{name}"), 0o600, 0);
        }
        let _used = fs::File::open("/dev/shm/used").unwrap();
        let one = Container::start(SCRIPT);
        let two = Container::start_mapped("0 100000 1000", SCRIPT);
        let containers: Vec<_> = [Some(one), two].into_iter().flatten().collect();
        let mut expected = vec!["/free -".to_owned()];
        let places = containers.iter().map(Container::place);
        expected.extend(places.map(|place| format!("/free {place}")));
        expected.sort_unstable();
        let count = expected.len();

        let (dry, ended) = sweep_all(&["-n"]);
        assert_eq!(dry, expected);
        let would = format!(
            "shmtool: would remove {count} objects and free {}KiB\n",
            count * 4
        );
        assert!(ended.stderr.starts_with(&would), "{ended:?}");
        assert_eq!(names("/dev/shm"), ["free", "used"]);

        let (swept, ended) = sweep_all(&[]);
        assert_eq!(swept, expected);
        let mut summary = format!(
            "shmtool: removed {count} objects and freed {}KiB\n",
            count * 4
        );
        summary += &format!("shmtool: {count} kept: in use\n");
        for container in &containers {
            let place = container.place();
            summary += &format!("shmtool: {place}: not swept: 1 semaphore with 4KiB (see -a)\n");
            assert_eq!(container.names(), ["sem.s", "used"]);
        }
        assert_eq!((ended.stderr, ended.status.code()), (summary, Some(0)));
        assert_eq!(names("/dev/shm"), ["used"]);

        run(&mut shmtool(["unlink", "--everywhere", "--unused", "-a"])).prints("");
        assert_eq!(containers[0].names(), ["used"]);
        let all = ["unlink", "--everywhere", "--include-in-use", "--glob", "*"];
        run(&mut shmtool(all)).prints("");
        for container in &containers {
            assert_eq!(container.names(), [""; 0]);
        }
        assert_eq!(names("/dev/shm"), [""; 0]);
    });
}

#[test]
fn owners_are_those_outside_of_the_container() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "cd /dev/shm; for id in 0 7; do echo >$id; chown $id:$id $id; done\n";
        let Some(container) = Container::start_mapped("0 100000 1000", script) else {
            return;
        };
        assert_eq!(
            rows("name,owner", &["-n", "--owner", "100007"]),
            ["/7 100007"]
        );
        let sweep = |owner| {
            let args = ["unlink", "--everywhere", "-v", "--owner", owner];
            removed(&run(&mut shmtool(args)))
        };
        for owner in ["0", "7", "root"] {
            assert_eq!(sweep(owner), [""; 0]);
        }
        assert_eq!(container.names(), ["0", "7"]);
        assert_eq!(sweep("100007"), [format!("/7 {}", container.place())]);
        assert_eq!(container.names(), ["0"]);
    });
}

#[test]
fn names_of_users_come_from_this_machine() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "
mount -t tmpfs tmpfs /tmp
echo 'intruder:x:0:0::/:/bin/sh' >/tmp/passwd
mount --bind /tmp/passwd /etc/passwd
echo >/dev/shm/x
";
        let container = Container::start(script);
        let listed = rows("name,owner,place", &[]);
        assert_eq!(listed, [format!("/x root {}", container.place())]);
    });
}

#[test]
fn objects_that_are_too_young_or_too_small_stay() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "cd /dev/shm; echo >small; head -c 100000 /dev/zero >large\n";
        let container = Container::start(script);
        let (swept, ended) = sweep_all(&["--older-than", "1h"]);
        assert_eq!(swept, [""; 0]);
        assert!(
            ended.stderr.contains("2 kept: modified less than 1h ago"),
            "{ended:?}"
        );
        let (swept, _) = sweep_all(&["--larger-than", "64K"]);
        assert_eq!(swept, [format!("/large {}", container.place())]);
        assert_eq!(container.names(), ["small"]);
    });
}

#[test]
fn objects_of_a_process_can_be_swept_wherever_they_are() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let container = Container::start("echo >/dev/shm/x; echo >/dev/shm/y; exec 3</dev/shm/x\n");
        let (swept, _) = sweep_all(&["--pid", &container.target(), "--include-in-use"]);
        assert_eq!(swept, [format!("/x {}", container.place())]);
        assert_eq!(container.names(), ["y"]);
    });
}
