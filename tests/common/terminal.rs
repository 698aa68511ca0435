//! Commands that run on a terminal.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

/// Returns what a command prints on a terminal in raw mode, which does not change the bytes.
pub fn on_terminal(command: &mut Command) -> Vec<u8> {
    // A width of 0 means unknown.
    on_terminal_of_width(0, command)
}

/// Like [`on_terminal`], on a terminal with this many columns.
pub fn on_terminal_of_width(columns: u16, command: &mut Command) -> Vec<u8> {
    use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
    let size = nix::pty::Winsize {
        ws_row: columns,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = nix::pty::openpty(&size, None).unwrap();
    let mut raw = tcgetattr(&pty.slave).unwrap();
    cfmakeraw(&mut raw);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &raw).unwrap();
    let mut child = command
        .stdout(pty.slave)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // `command` still holds a copy of the terminal. Reading ends only after the last copy is closed.
    command.stdout(Stdio::null());
    let mut printed = Vec::new();
    // Reading fails with EIO once nobody has the other end open.
    match fs::File::from(pty.master).read_to_end(&mut printed) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.raw_os_error(), Some(nix::libc::EIO), "{error}"),
    }
    assert!(child.wait().unwrap().success());
    printed
}
