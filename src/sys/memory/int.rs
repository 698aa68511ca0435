//! Integers as C programs keep them in shared memory: a type, and a value that fits it.

use std::fmt::{self, Display, LowerHex};

/// One of the eight integer types, in the machine's byte order (`int8_t` to `uint64_t`, `stdint.h(0p)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntType {
    /// `int8_t`.
    I8,
    /// `int16_t`.
    I16,
    /// `int32_t`, and `int`.
    I32,
    /// `int64_t`.
    I64,
    /// `uint8_t`.
    U8,
    /// `uint16_t`.
    U16,
    /// `uint32_t`.
    U32,
    /// `uint64_t`.
    U64,
}

impl IntType {
    /// All of them, in the order people are shown.
    pub const ALL: [IntType; 8] = [
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
    ];

    /// `i32`, as the command line and Rust call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
        }
    }

    /// The bytes that it takes: 1, 2, 4 or 8.
    pub const fn width(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 => 4,
            Self::I64 | Self::U64 => 8,
        }
    }

    /// The smallest value.
    pub const fn min(self) -> i128 {
        if self.is_signed() {
            -(1 << (self.bits() - 1))
        } else {
            0
        }
    }

    /// The largest value.
    pub const fn max(self) -> i128 {
        let value_bits = if self.is_signed() {
            self.bits() - 1
        } else {
            self.bits()
        };
        (1 << value_bits) - 1
    }

    const fn is_signed(self) -> bool {
        matches!(self, Self::I8 | Self::I16 | Self::I32 | Self::I64)
    }

    const fn bits(self) -> u32 {
        8 * self.width() as u32
    }
}

/// An integer that fits its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int {
    int_type: IntType,
    value: i128,
}

impl Int {
    /// `value` as an `int_type`, or nothing when it is out of the type's range.
    pub fn new(int_type: IntType, value: i128) -> Option<Int> {
        (int_type.min()..=int_type.max())
            .contains(&value)
            .then_some(Int { int_type, value })
    }

    /// The integer whose two's complement is `bits`, or nothing when they are more than the type has.
    pub fn from_bits(int_type: IntType, bits: u64) -> Option<Int> {
        let (bits, width) = (i128::from(bits), int_type.bits());
        if bits >> width != 0 {
            return None;
        }
        let value = if bits > int_type.max() {
            bits - (1 << width)
        } else {
            bits
        };
        Some(Int { int_type, value })
    }

    /// The integer that these bytes are in memory, as many as the type has.
    ///
    /// # Panics
    ///
    /// They are more or less.
    pub fn from_ne_bytes(int_type: IntType, bytes: &[u8]) -> Int {
        assert_eq!(bytes.len(), int_type.width());
        let mut all = [0; 8];
        match cfg!(target_endian = "little") {
            true => all[..bytes.len()].copy_from_slice(bytes),
            false => all[8 - bytes.len()..].copy_from_slice(bytes),
        }
        Int::from_bits(int_type, u64::from_ne_bytes(all)).expect("no more bits than the type has")
    }

    /// What a hole holds.
    pub fn zero(int_type: IntType) -> Int {
        Int { int_type, value: 0 }
    }

    /// The sum, or nothing when it is out of the type's range.
    pub fn checked_add(self, amount: i128) -> Option<Int> {
        Int::new(self.int_type, self.value.checked_add(amount)?)
    }

    /// Its two's complement, in the low bits.
    pub fn to_bits(self) -> u64 {
        self.value as u64 & (u64::MAX >> (64 - self.int_type.bits()))
    }

    /// The number itself.
    pub fn value(self) -> i128 {
        self.value
    }

    /// The type that it fits.
    pub fn int_type(self) -> IntType {
        self.int_type
    }
}

impl Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.value, f)
    }
}

/// All the bits of its type, two hexadecimal digits a byte: with `{:#x}`, what a VALUE may be.
impl LowerHex for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if f.alternate() { "0x" } else { "" };
        let digits = 2 * self.int_type.width();
        write!(f, "{prefix}{:0digits$x}", self.to_bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_limits_are_those_of_rust() {
        assert_eq!(
            (IntType::I8.min(), IntType::I8.max()),
            (i8::MIN.into(), i8::MAX.into())
        );
        assert_eq!(
            (IntType::U16.min(), IntType::U16.max()),
            (0, u16::MAX.into())
        );
        assert_eq!(
            (IntType::I32.min(), IntType::I32.max()),
            (i32::MIN.into(), i32::MAX.into())
        );
        assert_eq!(
            (IntType::I64.min(), IntType::I64.max()),
            (i64::MIN.into(), i64::MAX.into())
        );
        assert_eq!(
            (IntType::U64.min(), IntType::U64.max()),
            (0, u64::MAX.into())
        );
    }

    #[test]
    fn one_past_a_limit_does_not_fit() {
        for int_type in IntType::ALL {
            for limit in [int_type.min(), int_type.max()] {
                assert!(Int::new(int_type, limit).is_some());
            }
            assert_eq!(Int::new(int_type, int_type.min() - 1), None);
            assert_eq!(Int::new(int_type, int_type.max() + 1), None);
        }
    }

    #[test]
    fn bits_are_two_s_complement() {
        assert_eq!(
            Int::from_bits(IntType::I32, 0xffff_ffff).map(|i| i.to_string()),
            Some("-1".into())
        );
        assert_eq!(
            Int::from_bits(IntType::I8, 0x80).map(|i| i.to_string()),
            Some("-128".into())
        );
        assert_eq!(Int::from_bits(IntType::I8, 0x100), None);
        assert_eq!(Int::new(IntType::I64, -1).map(Int::to_bits), Some(u64::MAX));
    }

    #[test]
    fn hexadecimal_shows_every_bit() {
        let hex = |int_type, value| format!("{:#x}", Int::new(int_type, value).unwrap());
        assert_eq!(hex(IntType::I32, 42), "0x0000002a");
        assert_eq!(hex(IntType::I8, -1), "0xff");
        assert_eq!(hex(IntType::I64, i64::MIN.into()), "0x8000000000000000");
        assert_eq!(hex(IntType::U16, 0), "0x0000");
    }

    #[test]
    fn a_sum_out_of_range_is_none() {
        let sum = |value, amount| Int::new(IntType::I8, value).unwrap().checked_add(amount);
        assert_eq!(sum(127, 0), Int::new(IntType::I8, 127));
        assert_eq!(sum(-128, 255), Int::new(IntType::I8, 127));
        assert_eq!(
            (sum(127, 1), sum(-128, -1), sum(1, i128::MAX)),
            (None, None, None)
        );
    }

    proptest! {
        #[test]
        fn bits_and_back(bits: u64, which in 0..IntType::ALL.len()) {
            let int_type = IntType::ALL[which];
            let bits = bits >> (64 - 8 * int_type.width());
            let int = Int::from_bits(int_type, bits).unwrap();
            prop_assert_eq!(int.to_bits(), bits);
            let bytes = bits.to_ne_bytes();
            let bytes = if cfg!(target_endian = "little") { &bytes[..int_type.width()] } else { &bytes[8 - int_type.width()..] };
            prop_assert_eq!(Int::from_ne_bytes(int_type, bytes), int);
            prop_assert!(Int::new(int_type, int.value) == Some(int));
        }
    }
}
