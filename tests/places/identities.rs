//! Unusual user namespaces.

use crate::common::*;
use crate::*;

#[test]
fn a_user_namespace_needs_no_user_0() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "echo >/dev/shm/x\n";
        let Some(container) = Container::start_mapped("1 100000 1", script) else {
            return;
        };
        assert_eq!(
            rows("name,owner,place", &["-n"]),
            [format!("/x 100000 {}", container.place())]
        );
        let (swept, _) = sweep_all(&[]);
        assert_eq!(swept, [format!("/x {}", container.place())]);
    });
}

#[test]
fn a_user_namespace_without_a_map_is_skipped_and_named() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let setup = Setup::new(&["--user", "--keep-caps", "--mount"]).user(NOBODY);
        let script = "mount -t tmpfs tmpfs /dev/shm; echo >/dev/shm/x || true\n";
        let Some(container) = setup.start(script) else {
            return;
        };
        let other = Container::start("echo >/dev/shm/x\n");
        let (swept, ended) = sweep_all(&[]);
        assert_eq!(swept, [format!("/x {}", other.place())]);
        let (pid, reason) = (
            container.pid(),
            "no user IDs are mapped into its user namespace",
        );
        assert_eq!(
            ended.stderr,
            format!(
                "shmtool: pid:{pid}: skipped: {reason}\nshmtool: removed 1 object and freed 4KiB\n"
            )
        );
        run(&mut shmtool(["ls", "--target", &pid.to_string()]))
            .fails(1)
            .says(format!("process {pid}: {reason}"));
    });
}

#[test]
fn a_nested_user_namespace_is_entered_with_its_own_rights() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        // The inner one maps root only. Its root may not remove what belongs to others in the sticky directory.
        let script = "
cd /dev/shm
for id in 0 7; do echo >$id; chown $id:$id $id; done
exec unshare --user --map-root-user --mount sh -c 'echo ready; exec sleep 1000'
";
        let Some(container) = Container::start_mapped("0 100000 1000", script) else {
            return;
        };
        let (swept, _) = sweep_all(&[]);
        assert_eq!(swept, [format!("/0 {}", container.place())]);
        assert_eq!(container.names(), ["7"]);
    });
}

#[test]
fn groups_that_may_not_be_given_up_do_not_stop_a_user() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = [Container::TMPFS, "echo >/dev/shm/x\n"].concat();
        let Some(container) = Container::start_rootless(NOBODY, &script) else {
            return;
        };
        // A user who is in other groups too.
        let mut setpriv = std::process::Command::new("setpriv");
        setpriv.args(["--reuid=65534", "--regid=65534", "--groups=4,65534"]);
        setpriv.arg(env!("CARGO_BIN_EXE_shmtool"));
        setpriv.args(["ls", "-q", "--target", &container.target()]);
        run(&mut setpriv).prints("/x\n");
    });
}
