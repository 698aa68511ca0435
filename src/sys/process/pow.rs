//! `pow(3)` of our own, so that the program needs no `libm.so`.
//!
//! The progress bar is all that calls it, but every run would pay for loading the library: a sixth of the
//! time that a start takes.

/// `pow(3)`, in Rust.
// SAFETY: this has the signature and the meaning of the function that it stands for.
#[unsafe(no_mangle)]
extern "C" fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}
