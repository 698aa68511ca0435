//! The name of a shared memory object, `shm_open(3)`.

use crate::sys::escape::Escaped;
use std::ffi::{CStr, CString, OsStr};
use std::fmt::{self, Display};
use std::os::unix::ffi::OsStrExt;

/// The most bytes that a name has after its slash (`NAME_MAX`, `limits.h(0p)`).
pub const NAME_MAX: usize = 255;

/// What may stand before a name instead of its slash: the directory of the objects.
pub const PREFIX: &str = "/dev/shm/";

/// A valid name: a slash, then 1 to 255 bytes, none of them a slash or NUL, and neither `.` nor `..`.
///
/// It is bytes, not text. [`Display`] escapes what a terminal would act on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShmName(CString);

/// Why a NAME is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No byte but the slash.
    #[error("not an object name: nothing follows the slash")]
    Empty,
    /// A slash that is not the first byte.
    #[error("not an object name: no \"/\" is allowed except at the start")]
    Slash,
    /// `.` or `..`.
    #[error("not an object name: . and .. are directories")]
    Dots,
    /// More than [`NAME_MAX`] bytes after the slash: how many.
    #[error("not an object name: {0} bytes after the slash, at most {NAME_MAX} are allowed")]
    TooLong(usize),
    /// A NUL byte.
    #[error("not an object name: it contains a NUL byte")]
    Nul,
}

impl ShmName {
    /// Reads `counter`, `/counter` or `/dev/shm/counter`, which are the same.
    ///
    /// # Errors
    ///
    /// The rule that was broken, see [`NameError`].
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
                // With room for the NUL: where there are names, there are many.
                let mut name = Vec::with_capacity(bare.len() + 2);
                name.push(b'/');
                name.extend_from_slice(bare);
                CString::new(name).map(ShmName).map_err(|_| NameError::Nul)
            }
        }
    }

    /// `/counter` with a NUL after it, as `shm_open(3)` takes it.
    pub fn as_c_str(&self) -> &CStr {
        &self.0
    }

    /// The bytes of `/counter`.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// `counter`, the name of the file that the object is (`shm_overview(7)`).
    pub fn file_name(&self) -> &OsStr {
        OsStr::from_bytes(&self.as_bytes()[1..])
    }

    /// Whether it is the memory of a named semaphore (`sem_overview(7)`), which lives in the same place.
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
    fn a_slash_or_the_directory_may_stand_before_it() {
        assert_eq!(name(b"counter"), name(b"/counter"));
        assert_eq!(name(b"/dev/shm/counter"), name(b"/counter"));
        assert_eq!(name(b"counter").unwrap().to_string(), "/counter");
    }

    #[test]
    fn any_byte_but_slash_and_nul_is_valid() {
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
    fn an_invalid_name_says_which_rule_it_breaks() {
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
        fn a_name_is_one_file_of_its_directory(bytes: Vec<u8>) {
            if let Ok(name) = name(&bytes) {
                let path = Path::new("/directory").join(name.file_name());
                prop_assert_eq!(path.parent(), Some(Path::new("/directory")));
                prop_assert_eq!(path.file_name(), Some(name.file_name()));
            }
        }
    }
}
