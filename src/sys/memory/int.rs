//! Integers as C programs store them in shared memory: a type, and a value in its range.

use std::fmt::{self, Display, LowerHex};

/// An integer type of `stdint.h(0p)`, `int8_t` to `uint64_t`, in native byte order.
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
    /// All types, in the order in which the help lists them.
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

    /// The name of the type in Rust and on the command line, such as `i32`.
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

    /// The width in bytes: 1, 2, 4 or 8.
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

    /// The number of bits.
    pub const fn bits(self) -> u32 {
        8 * self.width() as u32
    }
}

/// The order of the bytes of an integer in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endian {
    /// The most significant byte comes first.
    Big,
    /// The least significant byte comes first.
    Little,
}

impl Endian {
    /// The order of this machine.
    pub const NATIVE: Endian = match cfg!(target_endian = "big") {
        true => Endian::Big,
        false => Endian::Little,
    };
}

/// An integer of one of the [types](IntType). Its value is always in the range of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int {
    int_type: IntType,
    value: i128,
}

impl Int {
    /// Creates an integer. Returns `None` if `value` is out of the range of the type.
    pub fn new(int_type: IntType, value: i128) -> Option<Int> {
        (int_type.min()..=int_type.max())
            .contains(&value)
            .then_some(Int { int_type, value })
    }

    /// Creates the integer whose two's complement is `bits`. Returns `None` if a bit beyond the width of the type is
    /// set.
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

    /// Creates an integer from its bytes in memory, in native byte order.
    ///
    /// # Panics
    ///
    /// Panics if the number of bytes is not the width of the type.
    pub fn from_ne_bytes(int_type: IntType, bytes: &[u8]) -> Int {
        assert_eq!(bytes.len(), int_type.width());
        let mut all = [0; 8];
        match cfg!(target_endian = "little") {
            true => all[..bytes.len()].copy_from_slice(bytes),
            false => all[8 - bytes.len()..].copy_from_slice(bytes),
        }
        Int::from_bits(int_type, u64::from_ne_bytes(all)).expect("the number of bytes was checked")
    }

    /// Converts between the integer that a program means and the one that the machine finds in memory, if the bytes are
    /// in this order. Both directions are the same.
    pub fn in_order(self, endian: Endian) -> Int {
        if endian == Endian::NATIVE {
            return self;
        }
        let bits = self.to_bits().swap_bytes() >> (64 - self.int_type.bits());
        Int::from_bits(self.int_type, bits).expect("swapping bytes keeps the width")
    }

    /// Combines the bits of two integers of the same type.
    pub fn combine(self, other: Int, operation: impl Fn(u64, u64) -> u64) -> Int {
        let bits = operation(self.to_bits(), other.to_bits());
        Int::from_bits(
            self.int_type,
            bits & (u64::MAX >> (64 - self.int_type.bits())),
        )
        .expect("the bits were masked")
    }

    /// Returns the integer 0, which is also what a hole contains.
    pub fn zero(int_type: IntType) -> Int {
        Int { int_type, value: 0 }
    }

    /// Adds `amount`. Returns `None` if the sum is out of the range of the type.
    pub fn checked_add(self, amount: i128) -> Option<Int> {
        Int::new(self.int_type, self.value.checked_add(amount)?)
    }

    /// Returns the two's complement of the value in the low bits. All other bits are 0.
    pub fn to_bits(self) -> u64 {
        self.value as u64 & (u64::MAX >> (64 - self.int_type.bits()))
    }

    /// The value.
    pub fn value(self) -> i128 {
        self.value
    }

    /// The type.
    pub fn int_type(self) -> IntType {
        self.int_type
    }
}

impl Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.value, f)
    }
}

/// Formats all bits of the type, two hexadecimal digits per byte. With `{:#x}` the result is a VALUE that the command
/// line accepts.
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
    fn limits_match_the_rust_types() {
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
    fn values_beyond_a_limit_are_rejected() {
        for int_type in IntType::ALL {
            for limit in [int_type.min(), int_type.max()] {
                assert!(Int::new(int_type, limit).is_some());
            }
            assert_eq!(Int::new(int_type, int_type.min() - 1), None);
            assert_eq!(Int::new(int_type, int_type.max() + 1), None);
        }
    }

    #[test]
    fn bits_are_twos_complement() {
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
    fn hexadecimal_has_the_full_width() {
        let hex = |int_type, value| format!("{:#x}", Int::new(int_type, value).unwrap());
        assert_eq!(hex(IntType::I32, 42), "0x0000002a");
        assert_eq!(hex(IntType::I8, -1), "0xff");
        assert_eq!(hex(IntType::I64, i64::MIN.into()), "0x8000000000000000");
        assert_eq!(hex(IntType::U16, 0), "0x0000");
    }

    #[test]
    fn checked_add_detects_overflow() {
        let sum = |value, amount| Int::new(IntType::I8, value).unwrap().checked_add(amount);
        assert_eq!(sum(127, 0), Int::new(IntType::I8, 127));
        assert_eq!(sum(-128, 255), Int::new(IntType::I8, 127));
        assert_eq!(
            (sum(127, 1), sum(-128, -1), sum(1, i128::MAX)),
            (None, None, None)
        );
    }

    /// Calls a macro with each Rust type and the name of its [`IntType`].
    macro_rules! for_each_type {
        ($check:ident) => {
            $check! {
                i8 I8, i16 I16, i32 I32, i64 I64, u8 U8, u16 U16, u32 U32, u64 U64
            }
        };
    }

    macro_rules! check_orders {
        ($($rust:ident $int_type:ident),*) => {
            proptest! {$(
                #[test]
                fn $rust(value: $rust) {
                    let int_type = IntType::$int_type;
                    let int = Int::new(int_type, value.into()).unwrap();
                    for (endian, bytes) in [
                        (Endian::Big, value.to_be_bytes()),
                        (Endian::Little, value.to_le_bytes()),
                    ] {
                        let in_memory = Int::from_ne_bytes(int_type, &bytes);
                        prop_assert_eq!(int.in_order(endian), in_memory);
                        prop_assert_eq!(in_memory.in_order(endian), int);
                    }
                }
            )*}
        };
    }

    mod bytes_in_memory_are_those_of_to_be_bytes_and_to_le_bytes {
        use super::*;
        for_each_type!(check_orders);
    }

    macro_rules! check_operators {
        ($($rust:ident $int_type:ident),*) => {
            proptest! {$(
                #[test]
                fn $rust(a: $rust, b: $rust) {
                    let int = |value: $rust| Int::new(IntType::$int_type, value.into()).unwrap();
                    let (x, y) = (int(a), int(b));
                    prop_assert_eq!(x.combine(y, |x, y| x | y), int(a | b));
                    prop_assert_eq!(x.combine(y, |x, y| x & y), int(a & b));
                    prop_assert_eq!(x.combine(y, |x, y| x ^ y), int(a ^ b));
                    prop_assert_eq!(x.combine(y, |x, _| !x), int(!a));
                    prop_assert_eq!(x.checked_add(b.into()), a.checked_add(b).map(int));
                    prop_assert_eq!(x.checked_add(-i128::from(b)), a.checked_sub(b).map(int));
                }
            )*}
        };
    }

    mod operations_give_what_those_of_the_rust_type_give {
        use super::*;
        for_each_type!(check_operators);
    }

    proptest! {
        #[test]
        fn bits_and_bytes_round_trip(bits: u64, which in 0..IntType::ALL.len()) {
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
