//! `--endian` on files, against Python's `struct`.

use crate::common::*;
use crate::*;

/// Maps a file, and for each line of input, `FORMAT OFFSET [VALUE]`, stores the value and prints the integer.
const PYTHON_STRUCT: &str = "
import mmap, struct, sys
with open(sys.argv[1], 'r+b') as file:
    memory = mmap.mmap(file.fileno(), 0)
for line in sys.stdin:
    format, offset, *value = line.split()
    if value:
        struct.pack_into(format, memory, int(offset), int(value[0]))
    print(struct.unpack_from(format, memory, int(offset))[0], flush=True)
";

const TYPES: [(&str, char, i128, i128); 8] = [
    ("i8", 'b', i8::MIN as i128, i8::MAX as i128),
    ("u8", 'B', 0, u8::MAX as i128),
    ("i16", 'h', i16::MIN as i128, i16::MAX as i128),
    ("u16", 'H', 0, u16::MAX as i128),
    ("i32", 'i', i32::MIN as i128, i32::MAX as i128),
    ("u32", 'I', 0, u32::MAX as i128),
    ("i64", 'q', i64::MIN as i128, i64::MAX as i128),
    ("u64", 'Q', 0, u64::MAX as i128),
];

#[test]
fn integers_of_every_type_and_order_are_those_of_python() {
    let file = file_with([0xaa; 4096]);
    let path = file.path().to_str().unwrap();
    let Some(mut python) = python(PYTHON_STRUCT, &[path]) else {
        return;
    };
    let mut python = Peer::start(&mut python);
    for (order, sign) in [("big", '>'), ("little", '<')] {
        for (int_type, code, min, max) in TYPES {
            let location = ["-t", int_type, "--endian", order, "--offset", "64"];
            let write = |args: &[&str]| write_int(path, &[&location, args].concat());
            let read = |args: &[&str]| read_int(path, &[&location, args].concat());
            let mut ask = |value: &str| python.ask(&format!("{sign}{code} 64 {value}"));
            for value in [min, max, min / 2 + 1, 0x12 % (max + 1)] {
                let value = value.to_string();
                write(&[&value]).prints("");
                assert_eq!(ask(""), value, "{location:?}");
                read(&["--until", &value, "--timeout", "0"]).prints(format!("{value}\n"));
                ask("1");
                read(&[]).prints("1\n");
                assert_eq!(ask(&value), value);
                read(&[]).prints(format!("{value}\n"));
            }
            // Sums, bits and conditions are about the integer.
            ask("100");
            write(&["--add", "27"]).prints("127\n");
            write(&["--xor", "0b11"]).prints("124\n");
            write(&["--and", "0b1001"]).prints("8\n");
            write(&["--or", "1"]).prints("9\n");
            write(&["--if", "lt:9", "1"]).fails(5);
            write(&["--if", "ge:9", "--swap", "2"]).prints("9\n");
            assert_eq!(ask(""), "2");
            let digits = int_type[1..].parse::<usize>().unwrap() / 4;
            read(&["--hex"]).prints(format!("0x{:0>digits$}\n", 2));
            write(&[&max.to_string()]).prints("");
            let ended = write(&["--add", "1"]);
            fails_mentioning(&ended, 1, &[&format!("{max} plus 1 is out of range")]);
            assert_eq!(ask(""), max.to_string());
        }
    }
    let bytes = fs::read(&file).unwrap();
    let changed = bytes.iter().filter(|&&byte| byte != 0xaa).count();
    assert!(changed <= 8, "only the bytes of the integer change");
}

#[test]
fn big_endian_bytes_are_in_the_order_of_the_network() {
    let file = file_with([0; 16]);
    write_int(file.path(), &["--endian", "big", "0x01020304", "-2"]).prints("");
    let location = ["-t", "u64", "--offset", "8"];
    let args = [&location[..], &["--endian", "little", "0x0102"]].concat();
    write_int(file.path(), &args).prints("");
    let expected = [1, 2, 3, 4, 255, 255, 255, 254, 2, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(fs::read(&file).unwrap(), expected);
    read_int(file.path(), &["--endian", "big", "--count", "2", "-x"])
        .prints("0x01020304\n0xfffffffe\n");
    // An unaligned integer too.
    write_int(
        file.path(),
        &["-t", "u16", "--offset", "1", "--endian", "big", "0xa0b0"],
    )
    .prints("");
    assert_eq!(fs::read(&file).unwrap()[..4], [1, 0xa0, 0xb0, 4]);
}

#[test]
fn waiting_works_in_both_orders_and_both_words_of_64_bits() {
    for order in ["big", "little"] {
        let file = file_with([0; 16]);
        let location = ["-t", "i64", "--offset", "8", "--endian", order];
        for (value, sum) in [("1", "2\n"), ("0x0123456700000000", "81985526906748929\n")] {
            let mut read = on_file("read-int", file.path());
            let reader = spawn(read.args(location).args(["--until", value]));
            let mut write = on_file("write-int", file.path());
            let args = ["--if", value, "--wait", "--add", "1"];
            let changer = spawn_waiter(write.args(location).args(args));
            write_int(file.path(), &[&location, &[value][..]].concat()).prints("");
            finish(changer).prints(sum);
            write_int(file.path(), &[&location, &[value][..]].concat()).prints("");
            assert!(finish(reader).status.success());
        }
    }
}
