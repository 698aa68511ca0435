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

#[test]
fn a_kill_at_the_rename_leaves_no_spare_name() {
    in_private_shm("size=16m", || {
        // Somebody has planted something at the usual name, so that a random one is used.
        let trace = tempfile::NamedTempFile::new().unwrap();
        let path = trace.path().to_str().unwrap();
        let args = ["create", "--replace", "-s", "8K", "x"];
        let Some(mut look) = strace(&["-e", "trace=linkat", "-o", path], args) else {
            return;
        };
        run(&mut look).prints("");
        let calls = fs::read_to_string(path).unwrap();
        let planted = calls.split('"').find(|text| text.contains("/.shmtool-"));
        let planted = planted.unwrap_or_else(|| panic!("{calls}"));
        nix::unistd::mkfifo(planted, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let inject = "inject=rename,renameat,renameat2:signal=KILL";
        let args = ["create", "--replace", "-s", "8K", "x", "--", "true"];
        let Some(mut strace) = strace(&["-e", inject], args) else {
            return;
        };
        strace.stderr(Stdio::null()).status().unwrap();
        let planted = planted.strip_prefix("/dev/shm/").unwrap();
        wait_until(|| {
            object_names()
                .iter()
                .all(|name| name == "x" || name == planted)
        });
    });
}
