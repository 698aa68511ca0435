//! `-p`: which processes use an object, and how.

use crate::common::*;
use crate::{json, table};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::fs;
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::process::Command;

/// Starts a C program that maps the object and keeps no descriptor for it, and returns it with its pid.
pub fn spawn_holder(c: &std::path::Path, mode: &str, name: &str) -> (Peer, u32) {
    let mut peer = Peer::start(Command::new(c).args([mode, name]));
    peer.ask("0");
    let pid = peer.id();
    (peer, pid)
}

/// Starts a shell that runs the script and then waits, and returns it with the complete script.
pub fn spawn_opener(script: &str) -> (Peer, String) {
    let script = format!("{script}; echo; read line");
    let mut peer = Peer::start(Command::new("sh").args(["-c", &script]));
    peer.line();
    (peer, script)
}

/// The rows of the processes that use an object.
fn user_rows(name: &str) -> Vec<String> {
    let rows = table(&["-o", "pid,user,access,command", "--no-header", name]);
    rows.iter().map(|row| row.join(" ")).collect()
}

pub fn current_user() -> String {
    let uid = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(uid).unwrap();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

#[test]
fn each_process_is_shown_with_its_access() {
    let Some(c) = c_program() else { return };
    in_private_shm("size=4m", || {
        for name in ["both", "free", "read"] {
            fs::write(format!("/dev/shm/{name}"), [0; 4]).unwrap();
        }
        let (_one, reader) = spawn_holder(c, "hold", "/read");
        let (_two, writer) = spawn_holder(c, "assign", "/both");
        let (opener, script) = spawn_opener("exec 3< /dev/shm/both 4>> /dev/shm/free");
        let opener_pid = opener.id();
        let me = current_user();

        let header = table(&["-p"]).remove(0);
        assert_eq!(header[6..], ["PID", "USER", "ACCESS", "COMMAND"]);
        let c = c.display();
        let reads = format!("{reader} {me} mapped r {c} hold /read");
        assert_eq!(user_rows("read"), [reads]);
        let appends = format!("{opener_pid} {me} open w sh -c {script}");
        assert_eq!(user_rows("free"), [appends]);
        let mut both = [
            (writer, format!("{writer} {me} mapped rw {c} assign /both")),
            (
                opener_pid,
                format!("{opener_pid} {me} open r sh -c {script}"),
            ),
        ];
        both.sort();
        assert_eq!(user_rows("both"), both.map(|(_, row)| row));
        // One row per process, but one per object if only its own columns are shown.
        assert_eq!(table(&["-p", "both", "--no-header"]).len(), 2);
        assert_eq!(table(&["-p", "-o", "name", "both", "--no-header"]).len(), 1);
        drop(opener);
        assert_eq!(user_rows("free"), ["- - - -"]);
        assert_eq!(
            json(&["-p", "read"])["objects"][0]["processes"],
            json!([{
                "pid": reader, "user": me, "uid": nix::unistd::geteuid().as_raw(), "access": "mapped r",
                "private": false, "mapped": "r", "open": null, "command": [c.to_string(), "hold", "/read"],
            }])
        );
        assert_eq!(json(&["-p", "free"])["objects"][0]["processes"], json!([]));
        assert_eq!(json(&["read"])["objects"][0].get("processes"), None);
    });
}

#[test]
fn rows_can_be_sorted_by_pid() {
    in_private_shm("size=4m", || {
        for name in ["a", "b", "c"] {
            fs::write(format!("/dev/shm/{name}"), "").unwrap();
        }
        let (first, _) = spawn_opener("exec 3< /dev/shm/c");
        let (second, _) = spawn_opener("exec 3< /dev/shm/b 4< /dev/shm/c");
        let mut rows = [(first.id(), "/c"), (second.id(), "/b"), (second.id(), "/c")];
        rows.sort();
        let mut rows: Vec<_> = rows
            .iter()
            .map(|(pid, name)| format!("{pid} {name}"))
            .collect();
        rows.push("- /a".to_owned());
        let sorted = |args: &[&str]| {
            let rows = table(&[args, &["--sort", "pid", "-o", "pid,name", "--no-header"]].concat());
            rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(sorted(&[]), rows);
        // If no process column is shown, objects are sorted by their lowest pid.
        let order = table(&["-p", "--sort", "pid", "-r", "-o", "name", "--no-header"]);
        assert_eq!(order.concat(), ["/a", "/b", "/c"]);
        let reversed = sorted(&["-r"]);
        assert_eq!(reversed[0], "- /a");
        assert!(
            reversed[3].starts_with(rows[0].split(' ').next().unwrap()),
            "{reversed:?}"
        );
        let objects = json(&["-p", "--sort", "pid"])["objects"].clone();
        assert_eq!(objects[2]["name"], "/a");
        run(&mut shmtool(["ls", "--sort", "pid"]))
            .fails(2)
            .says("--sort pid: no processes are listed\nhint: add -p");
        run(&mut shmtool(["ls", "-q", "-p"])).fails(2);
    });
}

#[test]
fn private_and_inherited_mappings_are_shown() {
    let script = "
import mmap, os, sys
fd = os.open('/dev/shm/x', os.O_RDWR)
private = mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE)
if sys.argv[1] == 'both':
    shared = mmap.mmap(fd, 4096, prot=mmap.PROT_READ)
for open_one in range(3, 64):
    try: os.close(open_one)
    except OSError: pass
child = os.fork()
if child != 0:
    print(child, flush=True)
sys.stdin.read()";
    let Some(mut both) = python(script, &["both"]) else {
        return;
    };
    let Some(mut private) = python(script, &["private"]) else {
        return;
    };
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/x", [0; 4096]).unwrap();
        let access = || {
            let rows = table(&["-o", "pid,access", "--no-header"]);
            rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>()
        };
        let mut peer = Peer::start(&mut private);
        let mut pids = [peer.id().to_string(), peer.line()];
        pids.sort_by_key(|pid| pid.parse::<u32>().unwrap());
        // Only the start is compared, because Python also keeps descriptors for its mappings.
        let found = access();
        for (row, pid) in found.iter().zip(&pids) {
            assert!(
                row.starts_with(&format!("{pid} mapped rw private")),
                "{found:?}"
            );
        }
        let one = json(&["-p"])["objects"][0]["processes"][0].clone();
        assert_eq!(
            (&one["private"], &one["mapped"]),
            (&json!(true), &json!("r"))
        );
        drop(peer);
        let mut peer = Peer::start(&mut both);
        peer.line();
        let found = access();
        assert!(
            found[0].contains(" mapped r, mapped rw private"),
            "{found:?}"
        );
    });
}

#[test]
fn unknown_users_are_shown_as_a_question_mark() {
    in_private_shm("size=4m", || {
        for name in ["flight", "free"] {
            fs::write(format!("/dev/shm/{name}"), "").unwrap();
        }
        // A descriptor in flight belongs to no process.
        let (_receiver, sender) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let file = fs::File::open("/dev/shm/flight").unwrap();
        let message = [ControlMessage::ScmRights(&[file.as_raw_fd()])];
        let bytes = [IoSlice::new(b"x")];
        let flags = MsgFlags::empty();
        sendmsg::<()>(sender.as_raw_fd(), &bytes, &message, flags, None).unwrap();
        drop(file);
        assert_eq!(user_rows("flight"), ["? ? ? ?"]);
        assert_eq!(user_rows("free"), ["- - - -"]);
        let objects = json(&["-p", "-o", "+in-use"])["objects"].clone();
        assert_eq!(
            (&objects[0]["processes"], &objects[0]["in_use"]),
            (&json!(null), &json!(true))
        );
        assert_eq!(
            (&objects[1]["processes"], &objects[1]["in_use"]),
            (&json!([]), &json!(false))
        );
    });
}

#[test]
fn a_lease_of_another_shmtool_does_not_count_as_use() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/x", "").unwrap();
        // The error that the kernel returns while another process holds the lease.
        let inject = "inject=fcntl:error=EAGAIN:when=1";
        let args = ["ls", "-o", "pid,in-use", "--no-header"];
        let Some(mut ls) = strace(&["-P", "/dev/shm/x", "-e", inject], args) else {
            return;
        };
        run(&mut ls).prints("-  no\n");
    });
}

#[test]
fn the_user_column_shows_the_effective_user() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        fs::write("/dev/shm/x", "").unwrap();
        let mut sleep = {
            // `Command` keeps the file open until it is dropped at the end of this block.
            let mut sleep = Command::new("sleep");
            let file = fs::File::open("/dev/shm/x").unwrap();
            as_nobody(sleep.arg("100").stdin(file)).spawn().unwrap()
        };
        let user =
            |args: &[&str]| table(&[args, &["-o", "user", "--no-header"]].concat())[0].join("");
        let (name, number) = (user(&[]), user(&["-n"]));
        sleep.kill().unwrap();
        sleep.wait().unwrap();
        let nobody = nix::unistd::User::from_uid(65534.into()).unwrap();
        assert_eq!(name, nobody.map_or("65534".to_owned(), |user| user.name));
        assert_eq!(number, "65534");
    });
}

#[test]
fn a_command_is_cut_only_at_the_edge_of_a_terminal() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/x", "").unwrap();
        let long = "x".repeat(500);
        let (_opener, _) = spawn_opener(&format!("exec 3< /dev/shm/x; : {long}"));
        let widest = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            text.lines().take(2).map(str::len).max().unwrap()
        };
        let ls = |args: &[&str]| {
            let mut ls = shmtool(["ls", "-p", "--color", "never"]);
            ls.args(args);
            ls
        };
        assert_eq!(widest(on_terminal_of_width(120, &mut ls(&[]))), 120);
        assert!(widest(on_terminal_of_width(0, &mut ls(&[]))) > 500);
        assert!(widest(run(&mut ls(&[])).stdout) > 500);
        // Nothing is cut, however wide the row, if COMMAND is not the last column.
        let last = ls(&["-o", "command,name"]);
        assert!(widest(on_terminal_of_width(120, &mut { last })) > 500);
    });
}

#[test]
fn shmtool_lists_itself_if_it_inherited_a_descriptor() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/x", "").unwrap();
        let mut ls = shmtool(["ls", "-o", "access,command", "--no-header"]);
        let listed = run(ls.stdin(fs::File::open("/dev/shm/x").unwrap()));
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(
            text.starts_with("open r  ") && text.contains(" ls -o access"),
            "{text}"
        );
    });
}

#[test]
fn processes_are_found_without_statx() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/x", "").unwrap();
        let (opener, _) = spawn_opener("exec 3< /dev/shm/x");
        for error in ["ENOSYS", "EPERM"] {
            let inject = format!("inject=statx:error={error}");
            let args = ["ls", "-o", "pid,access", "--no-header"];
            let Some(mut ls) = strace(&["-e", &inject], args) else {
                return;
            };
            run(&mut ls).prints(format!("{}  open r\n", opener.id()));
        }
    });
}

#[test]
fn uninspectable_processes_are_counted_only_if_they_matter() {
    in_private_shm("size=4m", || {
        if !is_root() {
            return;
        }
        let (_opener, _) = spawn_opener("true");
        let ls_as_nobody = |args: &[&str]| run(as_nobody(shmtool(["ls"]).args(args)));
        // Any process that cannot be inspected might use another user's object.
        fs::write("/dev/shm/x", "").unwrap();
        let listed = ls_as_nobody(&["-o", "name,pid", "--no-header"]);
        assert_eq!(&listed.stdout[..], b"/x  ?\n");
        // If /proc hides them, they cannot be counted.
        let mut proc = Command::new("ls");
        let shown = run(as_nobody(
            proc.args(["-d", &format!("/proc/{}", std::process::id())]),
        ));
        match shown.status.success() {
            false => assert_eq!(listed.stderr, ""),
            true => {
                let message = listed.stderr.strip_suffix(")\n").unwrap();
                let (count, pids) = message.split_once(" could not be inspected (PID").unwrap();
                let pids = pids.trim_start_matches('s').trim_start();
                assert!(
                    count.starts_with("shmtool: ") && count.contains(" process"),
                    "{message}"
                );
                assert!(pids.split(", ").count() <= 4, "{message}");
                assert!(
                    pids.split(", ").next().unwrap().parse::<u32>().is_ok(),
                    "{message}"
                );
            }
        }
        // About the caller's own object the kernel says that nobody uses it.
        std::os::unix::fs::chown("/dev/shm/x", Some(65534), Some(65534)).unwrap();
        ls_as_nobody(&["-o", "name,pid", "--no-header"]).prints("/x  -\n");
        ls_as_nobody(&["-p", "-o", "name", "--no-header"]).prints("/x\n");
    });
}

#[test]
fn control_characters_in_a_command_are_escaped() {
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/x", "").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let shell = directory.path().join("e\u{1b}[2J\n) 1");
        fs::copy("/bin/sh", &shell).unwrap();
        let mut evil = Command::new(shell);
        let mut evil = Peer::start(evil.args(["-c", "exec 3< /dev/shm/x; echo; read line"]));
        evil.line();
        let directory = directory.path().display();
        assert_eq!(
            user_rows("x"),
            [format!(
                r"{} {} open r {directory}/e\u{{1b}}[2J\n) 1 -c exec 3< /dev/shm/x; echo; read line",
                evil.id(),
                current_user()
            )]
        );
    });
}

#[test]
fn a_process_whose_main_thread_has_ended_is_shown() {
    let Some(c) = c_program() else { return };
    in_private_shm("size=4m", || {
        fs::write("/dev/shm/x", [0; 4]).unwrap();
        let (_holder, pid) = spawn_holder(c, "leaderless", "/x");
        let row = format!(
            "{pid} {} mapped r {} leaderless /x",
            current_user(),
            c.display()
        );
        assert_eq!(user_rows("x"), [row]);
        fs::remove_file("/dev/shm/x").unwrap();
        assert_eq!(table(&["--unlinked"]).len(), 2);
    });
}
