//! Every option, declared once: the doc comments are the help and the manual.

use clap::{Parser, Subcommand};

mod cat;
mod integers;
mod objects;
pub mod parse;
mod values;

pub use cat::{CatArgs, Input};
pub use integers::{Change, Count, Place, ReadIntArgs, Update, WriteIntArgs};
pub use objects::{Color, CreateArgs, FilterArgs, LsArgs, SortKey, UnlinkArgs};

/// Memory-mapped files and POSIX shared memory from the command line
///
/// A shared memory object is a piece of memory with a name, such as /counter, that any program may open and use
/// at the same time as others: what one stores, all the others see. It lives until its name is removed and nobody
/// uses it any more, or until the machine is restarted.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = false,
    // As elsewhere the last of two counts, so that an alias can be overruled.
    args_override_self = true,
    max_term_width = 100,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = "\
A NAME is /counter, or counter for short. Exit status: 0 done, 1 failed, 2 wrong usage, 3 no such object, \
4 exists already, 5 not as expected, 124 timed out; with create -- COMMAND, the command's own.",
    after_long_help = include_str!("cli/examples/shmtool.txt")
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
///
/// Deferred: only the verb that is run has its options made, which is most of what clap costs at the start.
/// That is why a verb is described here, and its options are described where they are declared.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Print files, or shared memory objects, through a memory mapping
    ///
    /// The system shows each file as memory (a mapping), and that memory is what goes to standard output; into a pipe
    /// it is handed over without being copied. What cannot be mapped, such as a pipe or a terminal, is read and
    /// written instead. What is printed is the same as cat prints.
    ///
    /// A file that grows meanwhile is printed to its end. One that is truncated is printed as far as it goes, and that
    /// is an error. Holes in a file are printed as zeros, and printing them takes no memory in a shared memory object.
    #[command(after_long_help = include_str!("cli/examples/cat.txt"))]
    Cat(CatArgs),

    /// Make shared memory objects, whole or not at all
    ///
    /// They hold zeros, or the bytes of a file. The memory is set aside at once, so that a machine which has too little
    /// of it says so now, and not a program later. Other programs see no object or the whole one. An object that exists
    /// already is left as it is, and is an error (status 4), unless an option says what to do with it.
    ///
    /// With -- COMMAND, the objects exist while COMMAND runs, and are held open, so that no sweep removes them. COMMAND
    /// has the terminal, process group, signals, environment and descriptors that it would have on its own. When it
    /// ends, however it ends, the objects that this run created are removed, even if shmtool was killed. shmtool ends as
    /// COMMAND ended: with the same status, or by the same signal. The status is 125 if shmtool fails before COMMAND
    /// runs, 126 if COMMAND cannot be run, and 127 if it is not found.
    #[command(after_long_help = include_str!("cli/examples/create.txt"))]
    Create(CreateArgs),

    /// Store integers in a shared memory object, or change one in a single step
    ///
    /// A C program that maps the object finds a plain int there. The store is atomic: another program sees the old
    /// integer or the new one, and no mixture. That holds where the offset is a multiple of the integer's width;
    /// elsewhere the store works, but is not atomic. Several VALUEs go into consecutive integers, as into an array,
    /// each a store of its own.
    ///
    /// An object that does not exist is made (zeros, for its owner alone), just large enough. One of size 0 is grown,
    /// and one that is too small otherwise is an error.
    ///
    /// Whoever waits for the integer in read-int --until is woken.
    ///
    /// --add, --swap and --if are one atomic operation each, on which counters and locks can be built: no change by
    /// another process comes between the look and the store. They need an offset that is a multiple of the width.
    #[command(after_long_help = include_str!("cli/examples/write-int.txt"))]
    WriteInt(WriteIntArgs),

    /// Print the integers that a shared memory object holds, or wait for one
    ///
    /// Nothing is changed, and permission to read is enough. Where the offset is a multiple of the integer's width it
    /// is read atomically: as some program stored it, and no mixture.
    ///
    /// With --until it waits, without using the processor, until the integer compares so. It may start before the
    /// object exists, and goes on with the new one when the object is removed and made anew. A store by write-int is
    /// seen at once; one by a program that just assigns to memory, within 50 milliseconds. An integer that has such a
    /// value only for a moment may be missed.
    #[command(after_long_help = include_str!("cli/examples/read-int.txt"))]
    ReadInt(ReadIntArgs),

    /// List shared memory objects, and who uses them
    ///
    /// Shows each object's name, its size, the memory allocated for it, who may read and write it (as ls -l), its owner,
    /// and its age: the time since it was last modified, or since its mode, owner or name last changed. A question mark
    /// stands for what is not known. On a terminal the totals come last, with what is not listed.
    ///
    /// With NAMEs and filters, the NAMEs that pass are listed, and if one does not pass, the status is 5.
    ///
    /// The processes come from /proc, which shows those that you may inspect, and none of other containers. Whether
    /// anybody at all uses an object, only the kernel knows: it is asked about objects without a process there.
    #[command(after_long_help = include_str!("cli/examples/ls.txt"))]
    Ls(LsArgs),

    /// Remove the names of shared memory objects, or sweep away what nobody uses
    ///
    /// The name is gone at once. Programs that use the object keep it, and its memory is freed when the last of them
    /// ends or lets go. Without filters, a NAME is removed as rm removes a file, in use or not.
    ///
    /// With filters, an object is removed only if it matches all of them and nobody uses it: no process in any
    /// container has it open or mapped. --include-in-use overrides this protection.
    ///
    /// Filters without a NAME sweep: they remove all such objects. Objects that are in use or belong to other users are
    /// kept, and that is no error. With filters and NAMEs, a NAME that is kept is reported, and the status is 5.
    ///
    /// A script's counter is unused between two commands: that is what --older-than is for.
    #[command(after_long_help = include_str!("cli/examples/unlink.txt"))]
    Unlink(UnlinkArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_declarations_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
