//! VALUE: an integer as the user wrote it, before its type is known.

use crate::sys::memory::int::{Int, IntType};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// A valid number. Whether it is in range depends on the type, and is checked by [`Value::as_int`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    text: String,
    negative: bool,
    /// The absolute value. It saturates at 128 bits, because larger numbers are out of every type's range anyway.
    magnitude: u128,
    /// Whether the number has the prefix `0x`, `0o` or `0b`. It is a bit pattern then, unless it is negative.
    prefixed: bool,
}

/// The text is not a valid VALUE.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an integer: use decimal digits, or 0x, 0o or 0b and digits; _ may stand between digits"
)]
pub struct Malformed;

/// The VALUE is out of the type's range.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}: out of range: {}", self.range())]
pub struct OutOfRange {
    text: String,
    is_bit_pattern: bool,
    int_type: IntType,
}

impl OutOfRange {
    fn range(&self) -> String {
        let int_type = self.int_type;
        let name = int_type.name();
        match self.is_bit_pattern {
            true => format!("{name} has {} bits", 8 * int_type.width()),
            false => format!("{name} is {} to {}", int_type.min(), int_type.max()),
        }
    }
}

impl FromStr for Value {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (radix, digits) = match unsigned.get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("0x") => (16, &unsigned[2..]),
            Some("0o") => (8, &unsigned[2..]),
            Some("0b") => (2, &unsigned[2..]),
            _ => (10, unsigned),
        };
        // A part is empty if a `_` is not between two digits.
        if !digits
            .split('_')
            .all(|part| !part.is_empty() && part.chars().all(|c| c.is_digit(radix)))
        {
            return Err(Malformed);
        }
        // This can only fail because of overflow.
        let magnitude = u128::from_str_radix(&digits.replace('_', ""), radix).unwrap_or(u128::MAX);
        Ok(Value {
            text: text.to_owned(),
            negative,
            magnitude,
            prefixed: radix != 10,
        })
    }
}

impl Value {
    /// Converts the VALUE to an integer of this type.
    ///
    /// # Errors
    ///
    /// Fails if the VALUE is out of the type's range, or if a bit pattern has more bits than the type.
    pub fn as_int(&self, int_type: IntType) -> Result<Int, OutOfRange> {
        let int = if self.prefixed && !self.negative {
            u64::try_from(self.magnitude)
                .ok()
                .and_then(|bits| Int::from_bits(int_type, bits))
        } else {
            let sign = if self.negative { -1 } else { 1 };
            i128::try_from(self.magnitude)
                .ok()
                .and_then(|magnitude| Int::new(int_type, sign * magnitude))
        };
        int.ok_or_else(|| OutOfRange {
            text: self.text.clone(),
            is_bit_pattern: self.prefixed && !self.negative,
            int_type,
        })
    }

    /// Converts the VALUE to an amount that can be added to an integer of this type. The amount may be negative even if
    /// the type is unsigned; otherwise an unsigned integer could not be decremented.
    ///
    /// # Errors
    ///
    /// Fails if neither the VALUE nor its negation is in the type's range.
    pub fn as_amount(&self, int_type: IntType) -> Result<i128, OutOfRange> {
        let negated = i128::try_from(self.magnitude)
            .ok()
            .filter(|&magnitude| self.negative && magnitude <= int_type.max());
        match negated {
            Some(magnitude) => Ok(-magnitude),
            None => Ok(self.as_int(int_type)?.value()),
        }
    }

    /// Converts the VALUE to the bits of an integer of this type. A negative VALUE is the complement of a mask, as shells
    /// compute it: `$((~0x10))` is -17, whatever the type.
    ///
    /// # Errors
    ///
    /// Fails if the VALUE is out of the type's range and is not the complement of a mask.
    pub fn as_bits(&self, int_type: IntType) -> Result<Int, OutOfRange> {
        let masks = 1 << int_type.bits();
        let is_complement = self.negative && (1..=masks).contains(&self.magnitude);
        let bits = is_complement.then(|| masks - self.magnitude);
        match bits.and_then(|bits| Int::from_bits(int_type, bits.try_into().ok()?)) {
            Some(int) => Ok(int),
            None => self.as_int(int_type),
        }
    }
}

/// An integer as it is printed: in decimal, or all its bits in hexadecimal.
#[derive(Debug, Clone, Copy)]
pub struct Printed {
    /// The integer.
    pub int: Int,
    /// Whether it is printed in hexadecimal.
    pub hex: bool,
}

impl Display for Printed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.hex {
            true => write!(f, "{:#x}", self.int),
            false => write!(f, "{}", self.int),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn convert(text: &str, int_type: IntType) -> Option<String> {
        text.parse::<Value>()
            .unwrap()
            .as_int(int_type)
            .ok()
            .map(|int| int.to_string())
    }

    #[test]
    fn a_negative_mask_is_the_complement_that_shells_compute() {
        for (text, int_type, expected) in [
            ("-17", IntType::U8, "0xef"),
            ("-17", IntType::I8, "0xef"),
            ("-17", IntType::U64, "0xffffffffffffffef"),
            ("-129", IntType::U8, "0x7f"),
            ("-129", IntType::I8, "0x7f"),
            ("-256", IntType::U8, "0x00"),
            ("-2147483649", IntType::I32, "0x7fffffff"),
            ("-0x11", IntType::U16, "0xffef"),
            ("-18446744073709551616", IntType::U64, "0x0000000000000000"),
            ("-0", IntType::U8, "0x00"),
            ("0x10", IntType::U8, "0x10"),
        ] {
            let value: Value = text.parse().unwrap();
            let int = value.as_bits(int_type).unwrap();
            let printed = Printed { int, hex: true };
            assert_eq!(printed.to_string(), expected, "{text}");
        }
        for (text, int_type) in [
            ("-257", IntType::U8),
            ("256", IntType::U8),
            ("-18446744073709551617", IntType::I64),
        ] {
            let value: Value = text.parse().unwrap();
            assert!(value.as_bits(int_type).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_complement_of_every_mask_is_accepted(mask: u32) {
            let value: Value = (!i64::from(mask)).to_string().parse().unwrap();
            let unsigned = value.as_bits(IntType::U32).unwrap();
            prop_assert_eq!(unsigned.value(), i128::from(!mask));
            let signed = value.as_bits(IntType::I32).unwrap();
            prop_assert_eq!(signed.value(), i128::from(!mask as i32));
        }
    }

    #[test]
    fn every_notation_is_parsed() {
        for (text, int_type, expected) in [
            ("42", IntType::I32, "42"),
            ("-5", IntType::I8, "-5"),
            ("-0", IntType::U8, "0"),
            ("007", IntType::I32, "7"),
            ("1_000_000", IntType::I32, "1000000"),
            ("-1_000", IntType::I16, "-1000"),
            ("0x10", IntType::I32, "16"),
            ("-0x10", IntType::I32, "-16"),
            ("0XfF", IntType::U8, "255"),
            ("0o17", IntType::U8, "15"),
            ("0b1111_0000", IntType::U8, "240"),
            ("0xffffffff", IntType::I32, "-1"),
            ("0x80", IntType::I8, "-128"),
            ("-0x80", IntType::I8, "-128"),
            ("18446744073709551615", IntType::U64, "18446744073709551615"),
            ("-9223372036854775808", IntType::I64, "-9223372036854775808"),
        ] {
            assert_eq!(convert(text, int_type).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn integers_out_of_range_are_rejected() {
        for (text, int_type) in [
            ("128", IntType::I8),
            ("-1", IntType::U8),
            ("256", IntType::U8),
            ("0x100", IntType::I8),
            ("-0xff", IntType::I8),
            ("2147483648", IntType::I32),
            ("18446744073709551616", IntType::U64),
            ("0x1_0000_0000_0000_0000", IntType::U64),
            ("340282366920938463463374607431768211456", IntType::I64),
            ("-340282366920938463463374607431768211456", IntType::I64),
        ] {
            assert_eq!(convert(text, int_type), None, "{text}");
        }
    }

    #[test]
    fn amounts_may_be_negative_for_every_type() {
        for (text, int_type, amount) in [
            ("5", IntType::U8, Some(5)),
            ("-5", IntType::U8, Some(-5)),
            ("-255", IntType::U8, Some(-255)),
            ("-256", IntType::U8, None),
            ("256", IntType::U8, None),
            ("-0x10", IntType::U64, Some(-16)),
            ("-128", IntType::I8, Some(-128)),
            ("-129", IntType::I8, None),
            ("128", IntType::I8, None),
            ("0xff", IntType::I8, Some(-1)),
            (
                "-340282366920938463463374607431768211456",
                IntType::U64,
                None,
            ),
        ] {
            let value: Value = text.parse().unwrap();
            assert_eq!(value.as_amount(int_type).ok(), amount, "{text}");
        }
    }

    #[test]
    fn the_message_shows_the_range() {
        let error = "300"
            .parse::<Value>()
            .unwrap()
            .as_int(IntType::I8)
            .unwrap_err();
        assert_eq!(error.to_string(), "300: out of range: i8 is -128 to 127");
    }

    #[test]
    fn invalid_integers_are_rejected() {
        for text in [
            "", "-", "+", "--5", "+-5", "0x", "0x_1", "_1", "1_", "1__0", "1.0", "1e3", "ten",
            " 1", "0b2", "0o8", "0xg", "٣", "-_5", "é1",
        ] {
            assert_eq!(text.parse::<Value>(), Err(Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_integer_is_parsed_in_every_radix(bits: u64, which in 0..IntType::ALL.len()) {
            let int_type = IntType::ALL[which];
            let int = Int::from_bits(int_type, bits >> (64 - 8 * int_type.width())).unwrap();
            let bits = int.to_bits();
            for text in [int.to_string(), format!("{bits:#x}"), format!("{bits:#o}"), format!("{bits:#b}")] {
                prop_assert_eq!(text.parse::<Value>().unwrap().as_int(int_type), Ok(int));
            }
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = text.parse::<Value>();
        }
    }
}
