//! What memory is opened and mapped for.

/// What an open object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `O_RDONLY`, `PROT_READ`.
    Read,
    /// `O_RDWR`, `PROT_READ | PROT_WRITE`.
    ReadWrite,
}
