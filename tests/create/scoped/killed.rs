//! What is left behind when shmtool is killed.

use super::*;

#[test]
fn killing_the_process_group_leaves_no_objects() {
    in_private_shm("size=16m", || {
        // The delay keeps the guard in the process group for a while.
        let options = ["-f", "-e", "inject=setsid:delay_enter=300000"];
        let args = ["create", "-s", "64K", "a", "b", "--", "sleep", "1000"];
        let Some(mut strace) = strace(&options, args) else {
            return;
        };
        let mut strace = strace.process_group(0).spawn().unwrap();
        wait_until(|| object_names().len() == 2);
        killpg(Pid::from_raw(strace.id() as i32), Signal::SIGKILL).unwrap();
        strace.wait().unwrap();
        wait_until(|| object_names().is_empty());
    });
}

#[test]
fn a_kill_at_the_rename_leaves_the_object_alone() {
    in_private_shm("size=16m", || {
        fs::write("/dev/shm/x", "old").unwrap();
        let inject = "inject=rename,renameat,renameat2:signal=KILL";
        let args = ["create", "--replace", "-s", "8K", "x", "--", "true"];
        let Some(mut strace) = strace(&["-e", inject], args) else {
            return;
        };
        strace.stderr(Stdio::null()).status().unwrap();
        // The signal arrives before or after the rename.
        wait_until(|| object_names().iter().all(|name| name == "x"));
    });
}
