//! Access modes for opening and mapping memory.

/// The access mode of an open object or a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `O_RDONLY`, `PROT_READ`.
    Read,
    /// `O_RDWR`, `PROT_READ | PROT_WRITE`.
    ReadWrite,
}
