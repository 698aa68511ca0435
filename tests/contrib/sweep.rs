//! The periodic clean-up with systemd or cron.

use crate::common::*;
use crate::*;
use nix::unistd::geteuid;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Stdio;

const SERVICE: &str = "contrib/systemd/shmtool-sweep.service";

/// The options that the manual documents as the default.
const OPTIONS: &str = "--everywhere --older-than 4h -v";

fn read(path: &str) -> String {
    fs::read_to_string(project_file(path)).unwrap()
}

/// The values of the settings with this name, in a unit or a file of variables.
fn settings(text: &str, name: &str) -> Vec<String> {
    let prefix = format!("{name}=");
    let values = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    values.map(str::to_owned).collect()
}

/// The one value of a setting.
fn setting(text: &str, name: &str) -> String {
    let mut values = settings(text, name);
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    values.remove(0)
}

/// The command of the service with these options, for a shell.
fn command_line(options: &str) -> String {
    let command = setting(&read(SERVICE), "ExecStart");
    assert_eq!(command, "/usr/bin/shmtool unlink $SHMTOOL_SWEEP");
    command
        .replace("/usr/bin/shmtool", env!("CARGO_BIN_EXE_shmtool"))
        .replace("$SHMTOOL_SWEEP", options)
}

/// Runs the service as systemd does: with no more capabilities than the unit grants. None if `setpriv` is missing.
fn sweep(options: &str) -> Option<Ended> {
    let capabilities = setting(&read(SERVICE), "CapabilityBoundingSet").to_lowercase();
    let mut bounding_set = "-all".to_owned();
    for name in capabilities.split(' ') {
        bounding_set += &format!(",+{}", name.strip_prefix("cap_").unwrap());
    }
    let mut setpriv = Command::new("setpriv");
    setpriv
        .args([
            "--no-new-privs",
            "--bounding-set",
            &bounding_set,
            "sh",
            "-c",
        ])
        .arg(command_line(options))
        .stdin(Stdio::null());
    if Command::new("setpriv").arg("--version").output().is_err() {
        skipped("no setpriv");
        return None;
    }
    Some(run(&mut setpriv))
}

#[test]
fn the_default_options_are_the_same_everywhere() {
    let unit = read(SERVICE);
    let variable = format!("SHMTOOL_SWEEP={OPTIONS}");
    assert_eq!(setting(&unit, "Environment"), format!("{variable:?}"));
    assert_eq!(setting(&unit, "EnvironmentFile"), "-/etc/default/shmtool");
    let default = read("contrib/default/shmtool");
    assert_eq!(setting(&default, "SHMTOOL_SWEEP"), format!("{OPTIONS:?}"));
    let crontab = read("contrib/cron/shmtool");
    let line = crontab.lines().last().unwrap();
    let options = OPTIONS.strip_suffix(" -v").unwrap();
    assert_eq!(
        line.splitn(6, ' ').last().unwrap().trim(),
        format!("root  /usr/bin/shmtool unlink {options}")
    );
    for text in [read("src/cli/notes/unlink.txt"), read("README.md")] {
        assert!(text.contains(line));
    }
    assert!(read("src/cli/notes/unlink.txt").contains(&format!("the default is {OPTIONS}.")));
}

#[test]
fn the_service_hides_nothing_that_a_sweep_has_to_see() {
    let unit = read(SERVICE);
    for name in [
        "ProtectProc",
        "ProcSubset",
        "PrivateDevices",
        "PrivateIPC",
        "PrivatePIDs",
        "PrivateUsers",
        "RestrictNamespaces",
    ] {
        assert_eq!(settings(&unit, name), [""; 0], "{name}");
    }
    let capabilities = setting(&unit, "CapabilityBoundingSet");
    for name in [
        "SYS_ADMIN",
        "SYS_PTRACE",
        "SETUID",
        "SETGID",
        "DAC_OVERRIDE",
        "LEASE",
    ] {
        let name = format!("CAP_{name}");
        assert!(capabilities.split(' ').any(|one| one == name), "{name}");
    }
}

#[test]
fn systemd_accepts_the_units() {
    let directory = tempfile::tempdir().unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for name in ["shmtool-sweep.service", "shmtool-sweep.timer"] {
        let unit = read(&format!("contrib/systemd/{name}"));
        // systemd-analyze checks that the program exists.
        let unit = unit.replace("/usr/bin/shmtool", env!("CARGO_BIN_EXE_shmtool"));
        let path = directory.path().join(name);
        fs::write(&path, unit).unwrap();
        verify.arg(path);
    }
    match verify.stdin(Stdio::null()).output() {
        Err(_) => skipped("no systemd-analyze"),
        Ok(output) => {
            let messages = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && messages.is_empty(), "{messages}");
        }
    }
}

#[test]
fn the_service_sweeps_containers_and_reports_each_object() {
    in_private_system(SHM, || {
        if !is_root() {
            return;
        }
        let script = "echo >/dev/shm/x; echo >/dev/shm/used; exec 3</dev/shm/used\n";
        let one = Container::start(script);
        let two = Container::start_mapped("0 100000 1000", script);
        fs::write("/dev/shm/ours", "").unwrap();
        // Root needs a capability to open this object, and another one to remove it from this directory.
        chown("/dev/shm", Some(7), None).unwrap();
        chown("/dev/shm/ours", Some(54321), Some(54321)).unwrap();
        fs::set_permissions("/dev/shm/ours", fs::Permissions::from_mode(0o600)).unwrap();
        let Some(kept) = sweep(OPTIONS) else { return };
        assert_eq!(rows(&kept), [""; 0]);
        assert!(kept.stderr.contains("kept: modified less than 4h ago"));

        let ended = sweep(&OPTIONS.replace("4h", "0")).unwrap();
        let containers = [Some(&one), two.as_ref()].into_iter().flatten();
        let mut expected = vec!["/ours 0B 54321 0s -".to_owned()];
        for (container, owner) in containers.clone().zip(["root", "100000"]) {
            expected.push(format!("/x 1B {owner} 0s {}", container.place()));
        }
        let mut swept = rows(&ended);
        // The test may take longer than a second.
        for row in &mut swept {
            let mut words: Vec<_> = row.split(' ').collect();
            assert!(words[3].ends_with('s'), "{row}");
            words[3] = "0s";
            *row = words.join(" ");
        }
        swept.sort_unstable();
        expected.sort_unstable();
        assert_eq!(swept, expected, "{ended:?}");
        for container in containers {
            assert_eq!(container.names(), ["used"]);
        }
        let count = expected.len();
        let summary = format!("shmtool: removed {count} objects and freed ");
        assert!(ended.stderr.starts_with(&summary), "{ended:?}");
        assert!(ended.stderr.contains("kept: in use"), "{ended:?}");
        assert!(ended.status.success(), "{ended:?}");
    });
}

/// This test looks at the real machine. It removes only what has its own prefix.
#[test]
fn the_service_sweeps_containers_with_the_settings_of_the_unit() {
    let state = Command::new("systemctl").arg("is-system-running").output();
    let state = state.map_or_else(|_| Vec::new(), |output| output.stdout);
    if !matches!(&state[..], b"running\n" | b"degraded\n" | b"starting\n") {
        return skipped("no systemd");
    }
    if !is_root() {
        return;
    }
    let prefix = format!("shmtool-test-{}-", std::process::id());
    let container = Container::start(&format!("echo >/dev/shm/{prefix}x\n"));
    let unit = read(SERVICE);
    let mut systemd_run = Command::new("systemd-run");
    systemd_run.args(["--quiet", "--wait", "--pipe", "--collect"]);
    let service = unit.split_once("[Service]\n").unwrap().1;
    for line in service.lines() {
        let is_setting = line.contains('=') && !line.starts_with('#');
        if is_setting
            && !["ExecStart=", "Environment"]
                .iter()
                .any(|one| line.starts_with(one))
        {
            systemd_run.args(["--property", line]);
        }
    }
    let options = OPTIONS.replace("4h", "0") + &format!(" --glob {prefix}*");
    systemd_run.args(command_line(&options).split(' '));
    let ended = run(systemd_run.stdin(Stdio::null()));
    let swept = rows(&ended);
    assert!(
        swept.len() == 1 && swept[0].starts_with(&format!("/{prefix}x 1B root ")),
        "{ended:?}"
    );
    assert!(swept[0].ends_with(&container.place()), "{ended:?}");
    assert_eq!(container.names(), [""; 0]);
}

#[test]
fn the_crontab_line_needs_no_search_path_and_prints_nothing() {
    in_private_system(SHM, || {
        fs::write("/dev/shm/x", "").unwrap();
        let crontab = read("contrib/cron/shmtool");
        let command = crontab
            .lines()
            .last()
            .unwrap()
            .split_once("root")
            .unwrap()
            .1;
        let command = command
            .replace("/usr/bin/shmtool", env!("CARGO_BIN_EXE_shmtool"))
            .replace("4h", "0");
        let mut cron = Command::new("/bin/sh");
        let ended = run(cron
            .args(["-c", &command])
            .env_clear()
            .env("PATH", "/usr/bin:/bin"));
        if geteuid().is_root() {
            ended.prints("");
        }
        assert!(!fs::exists("/dev/shm/x").unwrap(), "{ended:?}");
    });
}
