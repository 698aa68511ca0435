//! The hooks of job schedulers, with a `squeue` that plays Slurm.

use crate::common::*;
use crate::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

/// The user whose jobs run.
const USER: u32 = 54321;

/// Creates objects: two of [`USER`], of which one is in use, and one of somebody else. Returns the use.
fn create_objects() -> fs::File {
    for (name, owner) in [("left", USER), ("used", USER), ("foreign", USER + 1)] {
        let path = format!("/dev/shm/{name}");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(path, Some(owner), Some(owner)).unwrap();
    }
    fs::File::open("/dev/shm/used").unwrap()
}

/// Directory with programs that the hooks find first.
fn programs(scripts: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    // The user of the hook has to find them.
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    for (name, script) in scripts {
        let path = directory.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    directory
}

fn hook(name: &str, programs: &tempfile::TempDir) -> Command {
    let mut hook = Command::new(project_file(&format!("contrib/hooks/{name}")));
    hook.env("PATH", search_path(programs.path()));
    hook.stdin(Stdio::null());
    hook
}

/// The epilog of job 7 of [`USER`], where `squeue` is this script.
fn epilog(squeue: &str) -> Ended {
    let programs = programs(&[("squeue", squeue)]);
    let mut epilog = hook("slurm-epilog.sh", &programs);
    epilog
        .env("SLURM_JOB_ID", "7")
        .env("SLURM_JOB_UID", USER.to_string())
        .env("SLURMD_NODENAME", "node1");
    run(&mut epilog)
}

/// Asserts that a hook succeeded, because the job would fail or the node would be drained otherwise.
#[track_caller]
fn succeeded_with(ended: &Ended, message: &str) {
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains(message), "{ended:?}");
}

#[test]
fn the_epilog_removes_what_nobody_uses_of_the_user_of_the_last_job() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let _used = create_objects();
        // Some versions may list the job itself until its epilog has ended.
        let states = "configuring,running,suspended";
        let squeue = format!(r#"[ "$*" = "-h -w node1 -u 54321 -t {states} -o %A" ] && echo 7"#);
        let ended = epilog(&squeue);
        succeeded_with(&ended, "removed 1 object");
        assert!(rows(&ended)[0].starts_with("/left 0B 54321"), "{ended:?}");
        assert_eq!(names_in("/dev/shm"), ["foreign", "used"]);
        drop(_used);
        let ended = epilog("true");
        succeeded_with(&ended, "removed 1 object");
        assert_eq!(names_in("/dev/shm"), ["foreign"]);
    });
}

#[test]
fn the_epilog_removes_nothing_while_the_user_has_another_job_or_slurm_does_not_answer() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let _used = create_objects();
        for squeue in ["echo 7; echo 8", "echo 77", "echo 8"] {
            let ended = epilog(squeue);
            succeeded_with(&ended, "");
            assert!(
                ended.stdout.is_empty() && ended.stderr.is_empty(),
                "{ended:?}"
            );
        }
        for squeue in ["exit 1", "echo 7; exit 1"] {
            succeeded_with(&epilog(squeue), "no clean-up: squeue does not say");
        }
        let programs = programs(&[]);
        let ended = run(&mut hook("slurm-epilog.sh", &programs));
        succeeded_with(&ended, "not the epilog of a Slurm job");
        assert_eq!(names_in("/dev/shm"), ["foreign", "left", "used"]);
    });
}

#[test]
fn the_hook_of_runners_removes_only_what_the_same_user_has_left() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let _used = create_objects();
        let programs = programs(&[]);
        // The directory of the build may be closed to other users.
        let binary = programs.path().join("shmtool");
        fs::copy(env!("CARGO_BIN_EXE_shmtool"), binary).unwrap();
        let script = fs::read(project_file("contrib/hooks/before-job.sh")).unwrap();
        let path = programs.path().join("before-job.sh");
        fs::write(&path, script).unwrap();
        let before_job = || {
            let mut hook = Command::new("sh");
            hook.arg(&path).env("PATH", search_path(programs.path()));
            hook.uid(USER).gid(USER).stdin(Stdio::null());
            hook
        };
        // Another job of this user may have created the object just now.
        let ended = run(&mut before_job());
        succeeded_with(&ended, "2 kept: modified less than 4h ago");
        assert_eq!(names_in("/dev/shm"), ["foreign", "left", "used"]);
        // A PATTERN is not one for the files in the directory where the hook runs.
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(directory.path().join("left-1"), "").unwrap();
        let other = "--unused --older-than 1h --glob left*";
        let ended = run(before_job()
            .env("SHMTOOL_HOOK", other)
            .current_dir(&directory));
        succeeded_with(&ended, "1 kept: modified less than 1h ago");
        let ended = run(before_job().env("SHMTOOL_HOOK", "--unused"));
        succeeded_with(&ended, "removed 1 object");
        assert!(rows(&ended)[0].starts_with("/left 0B 54321"), "{ended:?}");
        assert_eq!(names_in("/dev/shm"), ["foreign", "used"]);
    });
}

#[test]
fn a_failed_clean_up_is_reported_and_the_job_runs() {
    in_private_system(SHM, || {
        let programs = programs(&[("shmtool", "exit 1"), ("squeue", "echo 7")]);
        let ended = run(&mut hook("before-job.sh", &programs));
        succeeded_with(&ended, "clean-up failed, the job runs nevertheless");
        let mut epilog = hook("slurm-epilog.sh", &programs);
        epilog.envs([
            ("SLURM_JOB_ID", "7"),
            ("SLURM_JOB_UID", "1"),
            ("SLURMD_NODENAME", "n"),
        ]);
        succeeded_with(&run(&mut epilog), "clean-up after job 7 failed");
    });
}
