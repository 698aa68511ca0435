//! Names of shared memory objects: `shm_open(3)`.

use crate::sys::escape::Escaped;
use std::ffi::{CStr, CString, OsStr};
use std::fmt::{self, Display};
use std::os::unix::ffi::OsStrExt;

/// The maximum length of a name in bytes, without its slash (`NAME_MAX`, `limits.h(0p)`).
pub const NAME_MAX: usize = 255;

/// The path prefix that is accepted in front of a name, in place of the slash.
pub const PREFIX: &str = "/dev/shm/";

/// A valid name: a slash, followed by 1 to 255 bytes. These may not contain a slash or NUL, and may not be `.` or
/// `..`.
///
/// A name is bytes, not text. [`Display`] escapes control characters and invalid UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShmName(CString);

/// Why a name is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing after the slash.
    #[error("not an object name: nothing follows the slash")]
    Empty,
    /// There is a slash that is not the first byte.
    #[error("not an object name: no \"/\" is allowed except at the start")]
    Slash,
    /// The name is `.` or `..`.
    #[error("not an object name: . and .. are directories")]
    Dots,
    /// There are more than [`NAME_MAX`] bytes after the slash. Contains their number.
    #[error("not an object name: {0} bytes after the slash, at most {NAME_MAX} are allowed")]
    TooLong(usize),
    /// There is a NUL byte.
    #[error("not an object name: it contains a NUL byte")]
    Nul,
}

impl ShmName {
    /// Parses a name. `counter`, `/counter` and `/dev/shm/counter` are the same name.
    ///
    /// # Errors
    ///
    /// The rule that the name breaks, see [`NameError`].
    pub fn new(name: &OsStr) -> Result<Self, NameError> {
        let bytes = name.as_bytes();
        let bare = bytes
            .strip_prefix(PREFIX.as_bytes())
            .or_else(|| bytes.strip_prefix(b"/"))
            .unwrap_or(bytes);
        match bare {
            b"" => Err(NameError::Empty),
            b"." | b".." => Err(NameError::Dots),
            _ if bare.contains(&b'/') => Err(NameError::Slash),
            _ if bare.len() > NAME_MAX => Err(NameError::TooLong(bare.len())),
            _ => {
                // Reserve space for the slash and the NUL, so that CString need not reallocate. Lists can have many
                // names.
                let mut name = Vec::with_capacity(bare.len() + 2);
                name.push(b'/');
                name.extend_from_slice(bare);
                CString::new(name).map(ShmName).map_err(|_| NameError::Nul)
            }
        }
    }

    /// Returns the name of the object in a file of the directory. Returns `None` for `.` and `..`.
    pub(in crate::sys) fn from_file_name(file_name: &CStr) -> Option<ShmName> {
        ShmName::new(OsStr::from_bytes(file_name.to_bytes())).ok()
    }

    /// Returns `/counter` with a NUL at the end, for `shm_open(3)`.
    pub fn as_c_str(&self) -> &CStr {
        &self.0
    }

    /// Returns the bytes of `/counter`, without a NUL.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Turns the name into the bytes of `/counter`, without a NUL.
    pub fn into_bytes(self) -> Box<[u8]> {
        self.0.into_bytes().into_boxed_slice()
    }

    /// Returns `counter`, the name of the file in the directory (`shm_overview(7)`).
    pub fn file_name(&self) -> &OsStr {
        OsStr::from_bytes(&self.as_bytes()[1..])
    }

    /// Like [`file_name`](Self::file_name), with a NUL at the end.
    pub(in crate::sys) fn file_name_c_str(&self) -> &CStr {
        let bytes = &self.0.as_bytes_with_nul()[1..];
        CStr::from_bytes_with_nul(bytes).expect("the only NUL is at the end")
    }

    /// Returns whether this is a named semaphore. Semaphores are in the same directory (`sem_overview(7)`).
    pub fn is_semaphore(&self) -> bool {
        self.as_bytes().starts_with(b"/sem.")
    }
}

impl Display for ShmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.as_bytes()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn name(bytes: &[u8]) -> Result<ShmName, NameError> {
        ShmName::new(OsStr::from_bytes(bytes))
    }

    #[test]
    fn slash_and_directory_prefixes_are_optional() {
        assert_eq!(name(b"counter"), name(b"/counter"));
        assert_eq!(name(b"/dev/shm/counter"), name(b"/counter"));
        assert_eq!(name(b"counter").unwrap().to_string(), "/counter");
    }

    #[test]
    fn all_bytes_except_slash_and_nul_are_valid() {
        for bytes in [
            &b"\xff\xfe"[..],
            b"two\nlines",
            b"\x1b[2J",
            b" ",
            b"...",
            b"-",
            b".hidden",
        ] {
            assert_eq!(name(bytes).unwrap().file_name().as_bytes(), bytes);
        }
        assert!(name(&[b'x'; 255]).is_ok());
        assert!(name(&[&b"/"[..], &[b'x'; 255]].concat()).is_ok());
    }

    #[test]
    fn invalid_names_are_rejected_with_a_reason() {
        for (bytes, error) in [
            (&b""[..], NameError::Empty),
            (b"/", NameError::Empty),
            (b"//x", NameError::Slash),
            (b"a/b", NameError::Slash),
            (b"a/", NameError::Slash),
            (b".", NameError::Dots),
            (b"/..", NameError::Dots),
            (b"a\0b", NameError::Nul),
            (&[b'x'; 256], NameError::TooLong(256)),
            (b"/dev/shm/", NameError::Empty),
            (b"/dev/shm", NameError::Slash),
            (b"/dev/shm/a/b", NameError::Slash),
            (b"/dev/shm//x", NameError::Slash),
            (b"dev/shm/x", NameError::Slash),
            (b"/dev/shm/..", NameError::Dots),
        ] {
            assert_eq!(name(bytes), Err(error), "{}", Escaped(bytes));
        }
    }

    proptest! {
        #[test]
        fn names_never_leave_the_directory(bytes: Vec<u8>) {
            if let Ok(name) = name(&bytes) {
                let path = Path::new("/directory").join(name.file_name());
                prop_assert_eq!(path.parent(), Some(Path::new("/directory")));
                prop_assert_eq!(path.file_name(), Some(name.file_name()));
            }
        }
    }
}
