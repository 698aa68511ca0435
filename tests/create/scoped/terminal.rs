//! COMMAND on a terminal: Ctrl-C, Ctrl-Z, and hang-up.

use super::*;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use std::process::ExitStatus;

/// Starts a command as the leader of a new session with its own terminal. Returns the master end of the terminal.
fn start_in_terminal(command: &mut Command) -> (File, Child) {
    let pty = nix::pty::openpty(None, None).unwrap();
    // If the command inherited the master end, closing ours would not hang up the terminal.
    fcntl(&pty.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    command.env("shmtool", env!("CARGO_BIN_EXE_shmtool"));
    let slave = || Stdio::from(pty.slave.try_clone().unwrap());
    command.stdin(slave()).stdout(slave()).stderr(slave());
    // SAFETY: between fork and exec the closure only makes two system calls.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            nix::errno::Errno::result(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
            Ok(())
        })
    };
    let child = command.spawn().unwrap();
    // `command` still holds copies of the terminal. Close them, so that only the child has it open.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    (File::from(pty.master), child)
}

/// Runs a shell on its own terminal. Returns what the terminal shows, and the exit status of the shell.
fn in_terminal(script: &str, type_into: impl FnOnce(&mut File)) -> (String, ExitStatus) {
    let (mut master, mut child) = start_in_terminal(Command::new("bash").args(["-c", script]));
    type_into(&mut master);
    // A shell that hangs never closes the terminal, so kill it after a while.
    let pid = child.id() as i32;
    std::thread::spawn(move || {
        sleep(HANG);
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    });
    let mut shown = Vec::new();
    // Reading fails with EIO once nobody has the other end open.
    let _ = master.read_to_end(&mut shown);
    (
        String::from_utf8_lossy(&shown).into_owned(),
        child.wait().unwrap(),
    )
}

/// The lines that a terminal showed.
struct Shown(String);

impl Shown {
    #[track_caller]
    fn assert_has_in_order(&self, expected: &[&str]) {
        let mut lines = self.0.lines().map(str::trim_end);
        for line in expected {
            assert!(lines.any(|shown| shown == *line), "{line}: {}", self.0);
        }
    }
}

#[test]
fn a_hang_up_ends_the_command_and_shmtool() {
    in_private_shm("size=4m", || {
        // The kernel sends SIGHUP only to the session leader, which is shmtool here.
        let mut command = create(&["-s", "4", "j", "--", "sleep", "1000"]);
        let (terminal, child) = start_in_terminal(&mut command);
        wait_until(|| object_names() == ["j"]);
        sleep(Duration::from_millis(100));
        drop(terminal);
        assert_eq!(finish(child).signal(), Some(libc::SIGHUP));
        assert_eq!(object_names(), [""; 0]);
    });
}

#[test]
fn ctrl_c_ends_a_command_in_another_process_group() {
    in_private_shm("size=4m", || {
        let command = [
            "timeout",
            "1000",
            "sh",
            "-c",
            "echo > /dev/shm/ready; sleep 1000",
        ];
        let interrupt = |command: &mut Command| {
            let (mut terminal, child) = start_in_terminal(command);
            wait_until(|| fs::exists("/dev/shm/ready").unwrap());
            sleep(Duration::from_millis(100));
            terminal.write_all(b"\x03").unwrap();
            let status = finish(child).status;
            fs::remove_file("/dev/shm/ready").unwrap();
            status
        };
        let alone = interrupt(Command::new(command[0]).args(&command[1..]));
        assert_eq!(interrupt(create(&["j", "--"]).args(command)), alone);
        assert_eq!(object_names(), [""; 0]);
    });
}

#[test]
fn a_command_in_another_process_group_is_stopped_and_continued() {
    in_private_shm("size=4m", || {
        // timeout(1) moves to its own process group, together with its command. Both must be stopped.
        let script = "set -m
$shmtool create j -- timeout 1000 sh -c 'echo > /dev/shm/ready; sleep 0.7; echo awake; exit 3'
echo stopped $?
sleep 1
echo now
fg
echo ended $?";
        let (shown, _) = in_terminal(script, |terminal| {
            wait_until(|| fs::exists("/dev/shm/ready").unwrap());
            sleep(Duration::from_millis(100));
            terminal.write_all(b"\x1a").unwrap();
        });
        Shown(shown).assert_has_in_order(&["stopped 148", "now", "awake", "ended 3"]);
        assert_eq!(object_names(), ["ready"]);
    });
}

#[test]
fn a_command_is_not_stopped_if_no_shell_could_continue_it() {
    in_private_shm("size=4m", || {
        // Without a shell the process group of the command is orphaned, or would be without shmtool. The kernel does not stop
        // orphaned process groups.
        for timeout in [&["timeout", "1000"][..], &[]] {
            let script = "echo > /dev/shm/ready; sleep 0.5; exit 3";
            let mut command = create(&["j", "--"]);
            command.args(timeout).args(["sh", "-c", script]);
            let (mut terminal, child) = start_in_terminal(&mut command);
            wait_until(|| fs::exists("/dev/shm/ready").unwrap());
            sleep(Duration::from_millis(100));
            terminal.write_all(b"\x1a").unwrap();
            assert_eq!(finish(child).status.code(), Some(3));
            fs::remove_file("/dev/shm/ready").unwrap();
        }
    });
}

#[test]
fn ctrl_c_ends_the_command_and_the_shell_loop_around_it() {
    in_private_shm("size=4m", || {
        let count = tempfile::NamedTempFile::new().unwrap();
        let path = count.path().to_str().unwrap();
        // The script counts SIGINT for a while, and then lets SIGINT kill it.
        let command = format!(
            "import os, signal, time
def count(*_): open('{path}', 'a').write('INT\\n')
signal.signal(signal.SIGINT, count)
open('/dev/shm/ready', 'w')
end = time.time() + 1
while time.time() < end: time.sleep(0.1)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.kill(os.getpid(), signal.SIGINT)"
        );
        if python("", &[]).is_none() {
            return;
        }
        let script =
            format!("while :; do $shmtool create j -- python3 -c \"{command}\"; done; echo on");
        let (shown, status) = in_terminal(&script, |terminal| {
            wait_until(|| fs::exists("/dev/shm/ready").unwrap());
            terminal.write_all(b"\x03").unwrap();
        });
        assert_eq!(
            fs::read_to_string(count.path()).unwrap(),
            "INT\n",
            "{shown}"
        );
        assert!(!status.success() && !shown.contains("on\r\n"), "{shown}");
        assert_eq!(object_names(), ["ready"]);
    });
}

#[test]
fn a_job_is_stopped_and_continued() {
    in_private_shm("size=4m", || {
        let script = "set -m
$shmtool create j -- sh -c 'echo > /dev/shm/ready; sleep 0.7; echo awake'
echo stopped $?
ls -1 /dev/shm
fg
echo ended $?";
        let (shown, _) = in_terminal(script, |terminal| {
            wait_until(|| fs::exists("/dev/shm/ready").unwrap());
            sleep(Duration::from_millis(100));
            terminal.write_all(b"\x1a").unwrap();
        });
        let lines: Vec<_> = shown.lines().map(str::trim_end).collect();
        let position = |text: &str| {
            lines
                .iter()
                .position(|line| *line == text)
                .unwrap_or_else(|| panic!("{text}: {shown}"))
        };
        assert!(
            position("stopped 148") < position("j")
                && position("j") < position("awake")
                && position("awake") < position("ended 0"),
            "{shown}"
        );
        assert_eq!(object_names(), ["ready"]);
    });
}

#[test]
fn a_command_that_stops_itself_at_the_terminal_stops_the_job() {
    in_private_shm("size=4m", || {
        // As a shell does for `suspend`.
        let script = "set -m
$shmtool create j -- sh -c 'kill -STOP $$; echo awake; exit 3'
echo stopped $?
fg
echo ended $?";
        let (shown, _) = in_terminal(script, |_| {});
        Shown(shown).assert_has_in_order(&["stopped 147", "awake", "ended 3"]);
        assert_eq!(object_names(), [""; 0]);
    });
}

#[test]
fn ctrl_c_does_not_reach_a_command_in_another_session() {
    in_private_shm("size=4m", || {
        let script = "echo > /dev/shm/ready; sleep 0.5; exit 3";
        let mut command = create(&["j", "--", "setsid", "sh", "-c", script]);
        let (mut terminal, child) = start_in_terminal(&mut command);
        wait_until(|| fs::exists("/dev/shm/ready").unwrap());
        sleep(Duration::from_millis(100));
        terminal.write_all(b"\x03").unwrap();
        assert_eq!(finish(child).status.code(), Some(3));
        assert_eq!(object_names(), ["ready"]);
    });
}
