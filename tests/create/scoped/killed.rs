use super::*;

#[test]
fn killed_with_its_whole_process_group_it_leaves_nothing() {
    in_private_shm("size=16m", || {
        // The guard takes its time to leave the group.
        let options = ["-f", "-e", "inject=setsid:delay_enter=300000"];
        let args = ["create", "-s", "64K", "a", "b", "--", "sleep", "1000"];
        let Some(mut strace) = strace(&options, args) else {
            return;
        };
        let mut strace = strace.process_group(0).spawn().unwrap();
        until(|| there().len() == 2);
        killpg(Pid::from_raw(strace.id() as i32), Signal::SIGKILL).unwrap();
        strace.wait().unwrap();
        until(|| there().is_empty());
    });
}

#[test]
fn killed_at_a_replacement_it_leaves_the_old_object_alone() {
    in_private_shm("size=16m", || {
        fs::write("/dev/shm/x", "old").unwrap();
        let inject = "inject=rename,renameat,renameat2:signal=KILL";
        let args = ["create", "--replace", "-s", "8K", "x", "--", "true"];
        let Some(mut strace) = strace(&["-e", inject], args) else {
            return;
        };
        strace.stderr(Stdio::null()).status().unwrap();
        // The signal comes before the call or after it.
        until(|| there().iter().all(|name| name == "x"));
    });
}
