//! `pow(3)` of our own, so that the program needs no `libm.so`.
//!
//! The progress bar (`indicatif`) is all that calls it, but every run would pay for loading the library: a sixth
//! of the time that a start takes. Only the program defines the symbol: in the library it would replace C's
//! `pow` in every program that depends on this crate, and one result in ten differs in the last bits.

/// Defines C's `pow(3)` for the whole program.
#[macro_export]
macro_rules! define_pow {
    () => {
        // SAFETY: this has the signature and the meaning of the function that it stands for.
        #[unsafe(no_mangle)]
        extern "C" fn pow(base: f64, exponent: f64) -> f64 {
            $crate::sys::process::pow::pow(base, exponent)
        }
    };
}

/// `pow(3)`, in Rust.
pub fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}
