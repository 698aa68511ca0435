//! Writes files, and checks in which folios the kernel keeps their pages.
//!
//! A folio is one or more pages that the kernel handles as one. `cat` is faster if they are large. The kernel allocates
//! folios as large as the pieces that are written, if the file system supports it, and splits them when memory gets
//! scarce. So write a file right before it is measured.

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The size of the pieces that make large folios.
pub const LARGE: usize = 4 << 20;
/// The size of the pieces that make single pages.
pub const SINGLE: usize = 4096;

/// Writes a file of random bytes in pieces. Afterwards the file is in the page cache.
pub fn write_file(path: &Path, size: usize, piece: usize) {
    let mut bytes = vec![0; LARGE.min(size)];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .expect("read random bytes");
    write_pieces(path, &bytes, size, piece);
}

/// Writes a file of this size in pieces. The bytes repeat if there are fewer.
pub fn write_pieces(path: &Path, bytes: &[u8], size: usize, piece: usize) {
    let file = File::create(path).expect("create a file");
    for offset in (0..size).step_by(piece) {
        let start = offset % bytes.len();
        let end = bytes.len().min(start + piece);
        let written = file.write_all_at(&bytes[start..end], offset as u64);
        written.expect("write the file");
    }
    file.sync_all()
        .expect("the file is written to disk before the measurement");
}

/// How many pages of a file are in large folios.
#[derive(Default)]
pub struct Layout {
    pages: usize,
    in_64_kib: usize,
    in_2_mib: usize,
}

impl Layout {
    /// Looks up the folios of a file in the page cache.
    ///
    /// # Errors
    ///
    /// Fails if the user is not root, or root of a user namespace only.
    pub fn check(path: &Path) -> io::Result<Layout> {
        let (file, flags) = (File::open(path)?, File::open("/proc/kpageflags")?);
        let size = file.metadata()?.len();
        let mut layout = Layout::default();
        // The memory that this process maps counts as that of the commands that it starts, so it maps a piece at a time.
        for offset in (0..size).step_by(LARGE) {
            let frames = page_frames(&file, offset)?;
            let mut folio = 0;
            for (index, &frame) in frames.iter().enumerate() {
                let continues =
                    is_tail(&flags, frame)? && index > 0 && frame == frames[index - 1] + 1;
                if !continues {
                    layout.add(folio);
                    folio = 0;
                }
                folio += 1;
            }
            layout.add(folio);
        }
        Ok(layout)
    }

    fn add(&mut self, folio: usize) {
        self.pages += folio;
        if folio * SINGLE >= 64 << 10 {
            self.in_64_kib += folio;
        }
        if folio * SINGLE >= 2 << 20 {
            self.in_2_mib += folio;
        }
    }
}

impl Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let percent = |pages| pages as f64 / self.pages as f64 * 100.0;
        write!(
            f,
            "{:.1} % of the pages in folios of at least 64 KiB, {:.1} % in folios of at least 2 MiB",
            percent(self.in_64_kib),
            percent(self.in_2_mib)
        )
    }
}

/// The numbers of the page frames of [`LARGE`] bytes of a file.
fn page_frames(file: &File, offset: u64) -> io::Result<Vec<u64>> {
    let length = NonZero::new(LARGE).expect("it is not 0");
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
    // SAFETY: nothing is read through the mapping, and it is unmapped below.
    let start = unsafe {
        mmap(
            None,
            length,
            ProtFlags::PROT_READ,
            flags,
            file,
            offset as i64,
        )
    }?;
    let mut entries = vec![0; LARGE / SINGLE * 8];
    let entry = start.as_ptr() as usize / SINGLE * 8;
    let read = File::open("/proc/self/pagemap")
        .and_then(|pagemap| pagemap.read_exact_at(&mut entries, entry as u64));
    // SAFETY: nothing points into the mapping.
    unsafe { munmap(start, LARGE) }?;
    read?;
    let frame = |entry: &[u8; 8]| u64::from_ne_bytes(*entry) & ((1 << 55) - 1);
    Ok(entries.as_chunks().0.iter().map(frame).collect())
}

/// Whether the page is part of a folio, but not its first page.
fn is_tail(flags: &File, frame: u64) -> io::Result<bool> {
    const KPF_COMPOUND_TAIL: u64 = 1 << 16;
    let mut bytes = [0; 8];
    flags.read_exact_at(&mut bytes, frame * 8)?;
    Ok(u64::from_ne_bytes(bytes) & KPF_COMPOUND_TAIL != 0)
}
