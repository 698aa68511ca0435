//! CONDITION, `[OP:]VALUE`: a comparison with an integer.

use crate::notation::value::{OutOfRange, Value};
use crate::sys::memory::int::{Int, IntType};
use std::cmp::Ordering;
use std::fmt::{self, Display};
use std::str::FromStr;

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Op {
    /// The operators with their names, which are those of `test(1)`.
    const ALL: [(Op, &str); 6] = [
        (Op::Eq, "eq"),
        (Op::Ne, "ne"),
        (Op::Lt, "lt"),
        (Op::Le, "le"),
        (Op::Gt, "gt"),
        (Op::Ge, "ge"),
    ];

    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Op::Eq => ordering.is_eq(),
            Op::Ne => ordering.is_ne(),
            Op::Lt => ordering.is_lt(),
            Op::Le => ordering.is_le(),
            Op::Gt => ordering.is_gt(),
            Op::Ge => ordering.is_ge(),
        }
    }
}

/// A condition as the user wrote it, before the type of the integer is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    text: String,
    op: Op,
    value: Value,
}

/// The text is not a valid condition.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a condition: write VALUE or OP:VALUE, where OP is eq, ne, lt, le, gt or ge")]
pub struct Malformed;

/// Translates a condition in the notation of C, such as `>=4`, to `ge:4`. Returns None if the text is not one.
pub fn suggest(text: &str) -> Option<String> {
    let operators = [
        ("==", "eq"),
        ("!=", "ne"),
        ("<=", "le"),
        (">=", "ge"),
        ("<", "lt"),
        (">", "gt"),
        ("=", "eq"),
    ];
    operators.iter().find_map(|(operator, name)| {
        let value = text.strip_prefix(operator)?.trim_start();
        let suggestion = format!("{name}:{value}");
        suggestion
            .parse::<Condition>()
            .is_ok()
            .then_some(suggestion)
    })
}

impl FromStr for Condition {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (op, value) = match text.split_once(':') {
            None => (Op::Eq, text),
            Some((name, value)) => {
                let found = Op::ALL.iter().find(|(_, known)| *known == name);
                (found.ok_or(Malformed)?.0, value)
            }
        };
        Ok(Condition {
            text: text.to_owned(),
            op,
            value: value.parse().map_err(|_| Malformed)?,
        })
    }
}

impl Condition {
    /// Converts the condition to a test for integers of this type.
    ///
    /// # Errors
    ///
    /// Fails if VALUE is out of the type's range.
    pub fn for_type(&self, int_type: IntType) -> Result<Test, OutOfRange> {
        Ok(Test {
            text: self.text.clone(),
            op: self.op,
            operand: self.value.as_int(int_type)?,
        })
    }
}

/// A condition for integers of one type. `Display` prints it as the user wrote it.
#[derive(Debug)]
pub struct Test {
    text: String,
    op: Op,
    operand: Int,
}

impl Test {
    /// Returns whether the condition holds for this integer.
    pub fn holds(&self, int: Int) -> bool {
        self.op.holds(int.value().cmp(&self.operand.value()))
    }
}

impl Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, value: i128) -> bool {
        let test = text.parse::<Condition>().unwrap().for_type(IntType::I32);
        test.unwrap().holds(Int::new(IntType::I32, value).unwrap())
    }

    #[test]
    fn each_operator_compares_with_value() {
        for (op, less, equal, greater) in [
            ("eq", false, true, false),
            ("ne", true, false, true),
            ("lt", true, false, false),
            ("le", true, true, false),
            ("gt", false, false, true),
            ("ge", false, true, true),
        ] {
            for (value, expected) in [(-5, less), (-4, equal), (-3, greater)] {
                assert_eq!(holds(&format!("{op}:-4"), value), expected, "{op} {value}");
            }
        }
        assert!(holds("-4", -4) && !holds("-4", 4));
        assert!(holds("0xffffffff", -1) && holds("le:0xffffffff", -2));
    }

    #[test]
    fn invalid_conditions_are_rejected_with_a_reason() {
        for text in ["ge:", "four", "", "ge:4:5", ":4", "GE:4", ">=:4"] {
            assert_eq!(text.parse::<Condition>(), Err(Malformed), "{text}");
        }
    }
}
