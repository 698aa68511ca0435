//! Completions in the real shells. A test types command lines with TABs on a terminal, and checks what the completed
//! commands print.

mod common;

use common::*;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::setsid;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

/// An object name that is full of characters with a meaning to the shell.
const HOSTILE: &str = "/unique it's $(touch hacked) \"q\" `touch hacked` *";

/// Lines that are typed, each with the output of the completed command.
const LINES: [(&str, &str); 14] = [
    // Verbs and objects.
    ("shmtool re\t/uni\t", "42"),
    ("shmtool cat --shm /uni\t| wc -c", "4"),
    // Objects without the leading slash.
    ("shmtool ls -q plai\t", "/plain:1"),
    ("shmtool ls -q /plain:\t", "/plain:1"),
    ("shmtool ls -q \"/plai\t", "/plain:1"),
    // Options.
    (
        "shmtool write-int --no-c\t/missing 1",
        "shmtool: /missing: no such object",
    ),
    // Types.
    ("shmtool read-int --ty\tu6\t/eig\t", "7"),
    // Operators of a CONDITION.
    ("shmtool read-int --until n\t7 /uni\t", "42"),
    // Several columns.
    (
        "shmtool ls -b -o size,lin\t /plai\t | tail -1",
        "   8      1",
    ),
    // Columns after a "+".
    ("shmtool ls --no-header -o +lin\t /plai\t | wc -w", "7"),
    // Values of --color.
    ("shmtool ls --color ne\t -q /plai\t", "/plain:1"),
    // Sort keys.
    ("shmtool ls -q --sort ag\t/plai\t", "/plain:1"),
    // Files.
    ("shmtool cat fil\t", "contents"),
    // COMMAND after --.
    ("shmtool create /new -- shmtoo\t ls -q /new", "/new"),
];

/// A shell on a terminal.
struct Terminal {
    shell: Child,
    master: File,
    output: Receiver<Vec<u8>>,
    /// The output since the last line was typed.
    printed: String,
}

impl Terminal {
    fn start(command: &mut Command) -> Terminal {
        let pty = nix::pty::openpty(None, None).unwrap();
        let mut settings = tcgetattr(&pty.slave).unwrap();
        settings.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).unwrap();
        let slave = || pty.slave.try_clone().unwrap();
        command.stdin(slave()).stdout(slave()).stderr(slave());
        // SAFETY: between fork and exec the closure only makes two system calls, setsid(2) and ioctl(2).
        unsafe {
            command.pre_exec(|| {
                setsid()?;
                nix::libc::ioctl(0, nix::libc::TIOCSCTTY, 0);
                Ok(())
            })
        };
        let shell = command.spawn().unwrap();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let master = File::from(pty.master);
        let mut reader = master.try_clone().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal {
            shell,
            master,
            output,
            printed: String::new(),
        }
    }

    fn type_text(&mut self, text: &str) {
        self.printed.clear();
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the output contains `text`.
    fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        while !self.printed.contains(text) {
            let left = HANG.saturating_sub(start.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.printed += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("no {text:?} in {:?}", self.printed),
            }
        }
    }

    /// Types a line, runs it, and returns its output.
    fn output_of(&mut self, line: &str) -> String {
        // The shell also shows what is typed, so the text typed must not contain the markers "<1" and "2>" themselves.
        self.type_text(&format!("printf '<%s\\n' 1; {line}; printf '%s>\\n' 2\r"));
        self.wait_for("\n2>");
        let after = self.printed.rsplit_once("<1\r\n").unwrap().1;
        after
            .split_once("2>")
            .unwrap()
            .0
            .replace('\r', "")
            .trim_end()
            .to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn check_completions(
    test: &str,
    shell: &str,
    args: &[&str],
    setup: &str,
    extra_lines: &[(&str, &str)],
) {
    let found = Command::new(shell)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if found.is_err() {
        return skipped(&format!("no {shell}"));
    }
    run_test_privately(test, "size=1m", || {
        let home = tempfile::tempdir().unwrap();
        run(&mut shmtool(["write-int", HOSTILE, "42"])).prints("");
        run(&mut shmtool(["write-int", "-t", "u64", "/eight", "7"])).prints("");
        run(&mut shmtool(["write-int", "-t", "i64", "/plain:1", "7"])).prints("");
        run(&mut shmtool(["write-int", "/with\nnewline", "1"])).prints("");
        fs::write(home.path().join("file"), "contents\n").unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_shmtool")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(shell);
        command
            .args(args)
            .current_dir(&home)
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", format!("{}:{path}", program.display()))
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "dumb");
        let mut terminal = Terminal::start(&mut command);
        let completions = concat!(env!("CARGO_MANIFEST_DIR"), "/completions");
        terminal.type_text(&format!(
            "{}; printf '<%s>' 1\r",
            setup.replace("@", completions)
        ));
        terminal.wait_for("<1>");
        for (line, printed) in LINES.iter().chain(extra_lines) {
            assert_eq!(terminal.output_of(line), *printed, "{shell}: {line}");
        }
        assert!(!home.path().join("hacked").exists());
    });
}

#[test]
fn bash_completes_command_lines() {
    let setup = "source @/shmtool.bash";
    let args = ["--norc", "--noprofile", "-i"];
    // Only the text before the cursor is completed. Ctrl-B moves the cursor back, and Ctrl-K deletes the text after it.
    let in_the_middle = ("shmtool ls -q /plaiX\x02\t\x0b", "/plain:1");
    check_completions(
        "bash_completes_command_lines",
        "bash",
        &args,
        setup,
        &[in_the_middle],
    );
}

#[test]
fn zsh_completes_command_lines() {
    let setup = "fpath=(@ $fpath); autoload -U compinit; compinit -u; unsetopt zle_bracketed_paste";
    check_completions(
        "zsh_completes_command_lines",
        "zsh",
        &["-f", "-i"],
        setup,
        &[],
    );
}

#[test]
fn fish_completes_command_lines() {
    check_completions(
        "fish_completes_command_lines",
        "fish",
        &["-i"],
        "source @/shmtool.fish",
        &[],
    );
}

#[test]
fn fish_shows_the_sizes_of_objects() {
    let source = concat!(
        "source ",
        env!("CARGO_MANIFEST_DIR"),
        "/completions/shmtool.fish"
    );
    in_private_shm("size=1m", || {
        run(&mut shmtool([
            "create",
            "-s",
            "8K",
            "/with space",
            "/sem.not",
        ]))
        .prints("");
        let home = tempfile::tempdir().unwrap();
        let mut fish = Command::new("fish");
        let program = Path::new(env!("CARGO_BIN_EXE_shmtool")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        fish.args(["-c", &format!("{source}; complete -C 'shmtool unlink /'")])
            .env("HOME", home.path())
            .env("PATH", format!("{}:{path}", program.display()));
        match fish.output() {
            Ok(_) => drop(run(&mut fish).prints("/with space\t8KiB\n")),
            Err(_) => skipped("no fish"),
        };
    });
}
