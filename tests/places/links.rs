//! Containers whose `/dev` or `/dev/shm` is a symbolic link.

use crate::common::*;
use crate::*;

/// A link in a root directory, and whether it may be followed in a user namespace.
const LINKS: [(&str, bool); 4] = [
    // The directory of the machine's objects, if it were followed outside of the root directory.
    ("rmdir $root/dev; ln -s /host/dev $root/dev", true),
    ("ln -s /run/shm $root/dev/shm", true),
    ("ln -s ../../../run/shm $root/dev/shm", true),
    ("ln -s /proc/$other/root/dev/shm $root/dev/shm", false),
];

const ROOT: &str = "
make_root
mkdir -p $root/host/dev/shm $root/run/shm $root/proc
mount --rbind /proc $root/proc
for directory in host/dev run; do
    mount -t tmpfs -o mode=1777 tmpfs $root/$directory/shm
    echo >$root/$directory/shm/theirs
done
";

#[test]
fn links_are_not_followed_where_root_of_the_container_is_our_root() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let other = Container::start("echo >/dev/shm/used; exec 3</dev/shm/used\n");
        create("/dev/shm/used", 0o600, 0);
        let _used = fs::File::open("/dev/shm/used").unwrap();
        for (link, _) in LINKS {
            let setup = Setup::new(&["--mount"]).env("other", other.target());
            let container = setup.start(&format!("{ROOT}{link}\n")).unwrap();
            let (pid, reason) = (container.pid(), "its /dev/shm is not a mount point");
            run(&mut shmtool(["ls", "--target", &pid.to_string()]))
                .fails(1)
                .says(format!("process {pid}: {reason}"));
            let (swept, ended) = sweep_all(&[]);
            assert_eq!(swept, [""; 0], "{link}");
            let message = format!("shmtool: pid:{pid}: skipped: {reason}\n");
            assert!(ended.stderr.starts_with(&message), "{link}: {ended:?}");
            // A sweep from cron would send a mail about it every hour.
            run(&mut shmtool(["unlink", "--everywhere", "--unused"])).prints("");
            for directory in ["host/dev", "run"] {
                let directory = format!("/proc/{pid}/root/{directory}/shm");
                assert_eq!(names(directory), ["theirs"]);
            }
        }
    });
}

#[test]
fn links_are_followed_inside_of_a_container_that_has_less_rights() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let other = Container::start("echo >/dev/shm/used; exec 3</dev/shm/used\n");
        create("/dev/shm/ours", 0o600, 0);
        let _ours = fs::File::open("/dev/shm/ours").unwrap();
        for (link, is_followed) in LINKS {
            let setup = Setup::new(&["--user", "--map-root-user", "--mount"]).user(NOBODY);
            let setup = setup.env("other", other.target());
            let Some(container) = setup.start(&format!("{ROOT}{link}\n")) else {
                return;
            };
            let listed = run(&mut shmtool(["ls", "-q", "--target", &container.target()]));
            let (swept, ended) = sweep_all(&[]);
            if is_followed {
                listed.prints("/theirs\n");
                assert_eq!(swept, [format!("/theirs {}", container.place())], "{link}");
            } else {
                listed.fails(1);
                assert_eq!(swept, [""; 0]);
                let message = format!("shmtool: {}: skipped: ", container.place());
                assert!(ended.stderr.starts_with(&message), "{link}: {ended:?}");
            }
            assert_eq!(other.names(), ["used"]);
        }
    });
}

#[test]
fn a_loop_of_links_is_no_directory() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "make_root; ln -s /dev/loop $root/dev/shm; ln -s /dev/shm $root/dev/loop\n";
        let Some(container) = Container::start_rootless(NOBODY, script) else {
            return;
        };
        run(&mut shmtool(["ls", "--target", &container.target()])).fails(1);
        let (swept, ended) = sweep_all(&[]);
        assert!(swept.is_empty() && ended.status.success(), "{ended:?}");
    });
}

#[test]
fn a_plain_directory_on_a_tmpfs_that_is_dev_is_a_place() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        // As in many containers of systemd-nspawn and of lxc.
        let script = "
make_root
mount -t tmpfs tmpfs $root/dev
mkdir $root/dev/shm
echo >$root/dev/shm/x
";
        let container = Setup::new(&["--mount"]).start(script).unwrap();
        let (swept, _) = sweep_all(&[]);
        assert_eq!(swept, [format!("/x {}", container.place())]);
    });
}
