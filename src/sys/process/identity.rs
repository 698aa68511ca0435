//! Who a process is: `/proc/PID/status`, `cmdline` and `comm`, `proc(5)`.

use super::procfs::Process;
use std::ffi::CStr;

/// The user and the command line of a process.
#[derive(Debug, Default)]
pub struct Identity {
    /// The effective user id. None if the process ended meanwhile.
    pub uid: Option<u32>,
    /// The arguments, the program first: any bytes. A process without any (a kernel thread, for instance) has its
    /// name in brackets instead, as in `ps(1)`. Empty if the process ended meanwhile.
    pub command: Vec<Vec<u8>>,
}

impl Identity {
    /// Reads it from the directory of a process or thread in `/proc`.
    pub fn read(process: &Process) -> Identity {
        let mut buffer = Vec::new();
        let mut command = arguments(read(process, c"cmdline", &mut buffer));
        if command.is_empty() {
            let name = read(process, c"comm", &mut buffer);
            let name = name.strip_suffix(b"\n").unwrap_or(name);
            if !name.is_empty() {
                command.push([b"[", name, b"]"].concat());
            }
        }
        Identity {
            uid: effective_uid(read(process, c"status", &mut buffer)),
            command,
        }
    }
}

/// Reads a file. The process may end at any time. The documentation of the fields says what they hold then.
fn read<'a>(process: &Process, name: &CStr, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    match process.read(name, buffer) {
        Ok(()) => buffer,
        Err(_) => &[],
    }
}

/// Splits `/proc/PID/cmdline`. A program that sets its own title leaves NUL bytes behind it.
fn arguments(cmdline: &[u8]) -> Vec<Vec<u8>> {
    let end = cmdline.iter().rposition(|&byte| byte != 0);
    let split = |end: usize| cmdline[..=end].split(|&byte| byte == 0).map(<[u8]>::to_vec);
    end.map(split).into_iter().flatten().collect()
}

/// The line is `Uid:`, then the real, effective, saved and file system ids.
fn effective_uid(status: &[u8]) -> Option<u32> {
    let mut lines = status.split(|&byte| byte == b'\n');
    let ids = lines.find_map(|line| line.strip_prefix(b"Uid:"))?;
    let ids = str::from_utf8(ids).ok()?;
    ids.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_end_with_nul_bytes() {
        for (cmdline, expected) in [
            (&b""[..], &[][..]),
            (b"\0\0", &[]),
            (b"sleep\x0010\0", &[&b"sleep"[..], b"10"]),
            (b"sh\0\0x y\0", &[b"sh", b"", b"x y"]),
            (b"server: idle\0\0\0\0", &[b"server: idle"]),
            (b"no end", &[b"no end"]),
        ] {
            assert_eq!(arguments(cmdline), expected);
        }
    }

    #[test]
    fn the_effective_user_id_is_the_second() {
        assert_eq!(
            effective_uid(b"Name:\tsu\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\t5\t5\n"),
            Some(0)
        );
        for status in [&b""[..], b"Uid:\t1000\n", b"Uid:\tx\tx\n"] {
            assert_eq!(effective_uid(status), None);
        }
    }
}
