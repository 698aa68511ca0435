//! Where a file comes from: a path, or an inherited descriptor.

use super::error::{FileError, Label};
use super::int_file::IntFile;
use crate::sys::escape;
use crate::sys::io::stream;
use nix::errno::Errno;
use nix::sys::stat::stat;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a file comes from: a path that is looked up each time the file is [opened](Self::open), or a descriptor that the
/// process inherited.
#[derive(Debug)]
pub struct FileSource {
    pub(super) label: Label,
    pub(super) origin: Origin,
}

#[derive(Debug)]
pub(super) enum Origin {
    Path(PathBuf),
    /// A duplicate of the inherited descriptor.
    Descriptor(Arc<File>),
}

impl FileSource {
    /// Interprets a path. `/dev/fd/N`, `/proc/self/fd/N` and `/dev/stdin` mean the descriptor that the process inherited
    /// as number N or 0; likewise `/dev/stdout` and `/dev/stderr`. Nothing is looked up for any other path.
    ///
    /// Call this before the process opens anything. Later the number may belong to a descriptor of our own.
    ///
    /// # Errors
    ///
    /// [`FileError::NotOpen`] if there was no such descriptor when the process started, also if it is a standard stream
    /// that was closed.
    pub fn new(path: &OsStr) -> Result<FileSource, FileError> {
        let label = Label::from(escape::operand(path));
        let origin = match descriptor_number(path) {
            None => Origin::Path(path.into()),
            Some(number) => {
                // No descriptor has a number that is too large.
                let number = number.ok_or_else(|| FileError::NotOpen(Label::clone(&label)))?;
                match stream::duplicate_inherited(number) {
                    Ok(fd) => Origin::Descriptor(Arc::new(File::from(fd))),
                    Err(Errno::EBADF) => return Err(FileError::NotOpen(label)),
                    Err(errno) => return Err(FileError::os(&label, "duplicate it", errno)),
                }
            }
        };
        Ok(FileSource { label, origin })
    }

    /// Returns a path for calls that do not take a descriptor. That of a descriptor opens its file again.
    pub fn path(&self) -> Cow<'_, Path> {
        match &self.origin {
            Origin::Path(path) => path.into(),
            Origin::Descriptor(file) => {
                PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())).into()
            }
        }
    }

    /// Returns whether the path still leads to this file. It may have been removed, or replaced by another file. A
    /// descriptor always leads to its file. On a file system whose files have other numbers at each look, any file at
    /// the path counts as this one.
    pub fn leads_to(&self, file: &IntFile) -> bool {
        match &self.origin {
            Origin::Descriptor(_) => true,
            Origin::Path(path) => stat(path)
                .is_ok_and(|found| file.is_same_file(&found) || file.has_no_stable_number()),
        }
    }

    /// Returns the path for messages: escaped, as the user wrote it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns the directory of the file, for `Watch`. If the path is a symbolic link,
    /// this is the directory of the file that it leads to now. Returns None for a descriptor.
    pub fn watch_path(&self) -> Option<PathBuf> {
        let Origin::Path(path) = &self.origin else {
            return None;
        };
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        match path.parent()? {
            parent if parent.as_os_str().is_empty() => Some(".".into()),
            parent => Some(parent.to_owned()),
        }
    }
}

/// Returns the number of the descriptor that a path means, or None if it means none. The number is None if it is too
/// large for a descriptor.
fn descriptor_number(path: &OsStr) -> Option<Option<RawFd>> {
    // Other spellings of the same path, such as /dev//fd/3, must not lead to a descriptor of our own.
    let components: PathBuf = Path::new(path).components().collect();
    match components.as_os_str().as_bytes() {
        b"/dev/stdin" => return Some(Some(0)),
        b"/dev/stdout" => return Some(Some(1)),
        b"/dev/stderr" => return Some(Some(2)),
        _ => {}
    }
    let directories = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"];
    let digits = directories
        .iter()
        .find_map(|directory| components.strip_prefix(directory).ok())?
        .as_os_str()
        .to_str()?;
    // The kernel accepts no sign and no leading zeros.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = digits == "0" || !digits.starts_with('0');
    (is_number && is_canonical && !digits.is_empty()).then(|| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_descriptors_are_recognized() {
        for (path, number) in [
            ("/dev/fd/3", Some(Some(3))),
            ("/dev/fd/0", Some(Some(0))),
            ("//dev/./fd//17/", Some(Some(17))),
            ("/proc/self/fd/4", Some(Some(4))),
            ("/proc/thread-self/fd/4", Some(Some(4))),
            ("/dev/stdin", Some(Some(0))),
            ("/dev/stdout", Some(Some(1))),
            ("/dev/stderr", Some(Some(2))),
            ("/dev/fd/2147483648", Some(None)),
            ("/dev/fd/99999999999999999999", Some(None)),
            ("/dev/fd/03", None),
            ("/dev/fd/+3", None),
            ("/dev/fd/-3", None),
            ("/dev/fd/3x", None),
            ("/dev/fd/3/x", None),
            ("/dev/fd", None),
            ("dev/fd/3", None),
            ("/proc/1/fd/4", None),
            ("", None),
        ] {
            assert_eq!(descriptor_number(path.as_ref()), number, "{path}");
        }
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_rejected() {
        for path in ["/dev/fd/987654", "/dev/fd/99999999999999999999"] {
            let error = FileSource::new(path.as_ref()).unwrap_err();
            assert!(matches!(error, FileError::NotOpen(_)), "{error}");
        }
    }

    #[test]
    fn the_directory_of_the_file_is_watched() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        let watch_path = |path: &Path| FileSource::new(path.as_ref()).unwrap().watch_path();
        let missing = directory.join("missing");
        assert_eq!(watch_path(&missing), Some(directory.clone()));
        assert_eq!(watch_path(Path::new("missing")), Some(".".into()));
        let (target, link) = (directory.join("d/target"), directory.join("link"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(watch_path(&link), Some(directory.clone()));
        fs::create_dir(directory.join("d")).unwrap();
        fs::write(&target, "").unwrap();
        assert_eq!(watch_path(&link), Some(directory.join("d")));
        assert_eq!(watch_path(Path::new("/dev/fd/0")), None);
    }
}
