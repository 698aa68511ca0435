//! What can be in a container's `/dev/shm` besides objects.

use crate::common::*;
use crate::*;

const SCRIPT: &str = "
cd /dev/shm
mkfifo fifo
ln -s /etc/hostname link
ln -s object link-to-object
mkdir directory
echo secret >directory/file
echo >object
# Files that are mounted over a name: of another file system, and of the same one.
echo >other-mount
echo >same-mount
mount --bind /etc/passwd other-mount
mount --bind directory/file same-mount
";

/// What is not an object. An unprivileged user cannot make a device.
const OTHERS: [&str; 7] = [
    "device",
    "directory",
    "fifo",
    "link",
    "link-to-object",
    "other-mount",
    "same-mount",
];

#[test]
fn only_regular_files_that_are_not_mounted_are_objects() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let device = [Container::TMPFS, SCRIPT, "mknod device c 10 130\n"].concat();
        let rootless = [Container::TMPFS, SCRIPT].concat();
        for is_rootless in [false, true] {
            let container = match is_rootless {
                false => Setup::new(&["--mount"]).start(&device),
                true => Container::start_rootless(NOBODY, &rootless),
            };
            let Some(container) = container else { return };
            let target = container.target();
            run(&mut shmtool(["ls", "-q", "--target", &target])).prints("/object\n");
            for name in OTHERS
                .iter()
                .filter(|name| container.names().contains(&(**name).into()))
            {
                for verb in [
                    &["cat", "--shm"][..],
                    &["read-int"],
                    &["read-int", "--until", "5", "--timeout", "20"],
                    &["ls"],
                    &["create", "--resize", "-s", "1M"],
                    &["create", "--exist-ok", "-s", "1M"],
                ] {
                    let mut command = shmtool([verb[0], "--target", &target]);
                    let ended = run(command.args(&verb[1..]).arg(name));
                    let code = ended.status.code();
                    assert_eq!(
                        (code, &ended.stdout[..]),
                        (Some(1), &b""[..]),
                        "{verb:?} {ended:?}"
                    );
                }
                let write = ["write-int", "--target", &target, name, "1"];
                run(&mut shmtool(write)).fails(1);
                for options in [
                    &[][..],
                    &["--unused"],
                    &["-n"],
                    &["--include-in-use", "-g*"],
                ] {
                    let mut unlink = shmtool(["unlink", "--target", &target, name]);
                    let ended = run(unlink.args(options));
                    assert_eq!(ended.status.code(), Some(1), "{name} {options:?} {ended:?}");
                }
            }
            let before = container.names();
            assert_eq!(before.len(), if is_rootless { 7 } else { 8 });
            let (swept, _) = sweep_all(&["--include-in-use"]);
            assert_eq!(swept, [format!("/object {}", container.place())]);
            let rest = before.into_iter().filter(|name| name != "object");
            assert_eq!(container.names(), rest.collect::<Vec<_>>());
            let secret = fs::read(container.path("directory/file")).unwrap();
            assert_eq!(secret, b"secret\n");
        }
    });
}

#[test]
fn names_that_a_terminal_would_act_on_are_escaped() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "printf x >\"/dev/shm/$(printf 'evil\\033[2J\\n\\377')\"\n";
        let container = Container::start(script);
        let listed = rows("name,place", &[]);
        let shown = format!("/evil\\u{{1b}}[2J\\n\\xff {}", container.place());
        assert_eq!(listed, [shown.as_str()]);
        assert_eq!(sweep_all(&[]).0, [shown]);
    });
}

#[test]
fn an_object_that_changes_all_the_time_is_no_danger() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        mount_volume("mode=755");
        create("/mnt/precious", 0o666, 0);
        // The name leads to an object, to nothing, to a link and to a FIFO in turn.
        let script = "
(cd /dev/shm
while true; do
    echo >x; rm -f x; ln -s /mnt/precious x; rm -f x; mkfifo x; rm -f x
done) &
";
        let _container = Container::start(script);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(500) {
            let (swept, ended) = sweep_all(&[]);
            assert!(swept.len() <= 1, "{ended:?}");
        }
        assert_eq!(fs::read("/mnt/precious").unwrap(), b"text");
    });
}
