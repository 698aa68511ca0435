//! Declares every option once. The doc comments are also the text of the help and the manual.
//!
//! The structs have `#[group(skip)]`: nobody uses the groups that clap would make of them, and they cost start-up time.

use clap::{Parser, Subcommand};

mod cat;
mod filters;
mod integers;
mod objects;
pub mod parse;
mod read_int;
mod target;
mod values;
mod write_int;

pub use cat::{CatArgs, Input};
pub use filters::FilterArgs;
pub use integers::{Operand, Place};
pub use objects::{CreateArgs, LsArgs, UnlinkArgs};
pub use read_int::{Count, ReadIntArgs};
pub use values::{Color, SortKey, label_too_long};
pub use write_int::{Change, Operation, Update, WriteIntArgs};

/// Memory-mapped files and POSIX shared memory from the command line
///
/// A shared memory object is a named piece of memory, such as /counter. Several programs can open it at the same time,
/// and each sees what the others store in it. The object exists until its name is removed and no program uses it any
/// more, or until the machine restarts.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = false,
    // An alias can set an option, and the command line can still override it: the last --count wins.
    args_override_self = true,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = "\
A NAME is /counter, or just counter. Exit status: 0 success, 1 failure, 2 usage error, 3 no such object, \
4 object exists, 5 condition not met, 124 timed out; with create -- COMMAND, the status of COMMAND.

man shmtool-recipes shows step by step how to use shared memory in scripts, programs and services.",
    after_long_help = include_str!("cli/examples/shmtool.txt")
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
///
/// `defer` makes clap build the options of the chosen verb only; building all of them is most of clap's start-up time.
/// Therefore the verbs are described here, and their options where those are declared.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// Print files or shared memory objects through a memory mapping
    ///
    /// shmtool maps each file into memory and writes that memory to standard output. If standard output is a pipe, most
    /// of a large file is handed over without being copied. An input that cannot be mapped (a pipe, a terminal, a device,
    /// a file in /proc) is read instead. The output is the same as that of cat(1).
    ///
    /// A file that grows while it is printed is printed to its new end. If a file is truncated meanwhile, shmtool prints
    /// what is left and reports an error. Holes are printed as zeros, and printing them allocates no memory in a shared
    /// memory object.
    Cat(CatArgs),

    /// Create shared memory objects, filled with zeros or from a file
    ///
    /// Memory is reserved immediately. So if there is too little, create fails, and no program crashes later for lack of
    /// it. Other programs see no object or the complete one, never one that is half filled. If an object already exists, it
    /// is left as it is and create fails (status 4), unless an option says what to do with it.
    ///
    /// With -- COMMAND, the objects exist while COMMAND runs. shmtool holds them open, so that no shmtool unlink with
    /// filters removes them. COMMAND has the terminal, process group, environment and descriptors that it would have
    /// without shmtool, and receives every signal that is sent to shmtool. When COMMAND ends, for whatever
    /// reason, the objects that shmtool created are removed, even if shmtool itself was killed. Objects that existed before stay. shmtool ends as COMMAND ended: with the same
    /// status, or by the same signal. The status is 125 if shmtool fails before COMMAND runs, 126 if COMMAND cannot be
    /// run, and 127 if COMMAND is not found.
    ///
    /// With --anonymous, COMMAND gets memory that has no name. COMMAND and the programs that it starts inherit it; nobody
    /// else finds it, except whoever may inspect these programs in /proc.
    Create(CreateArgs),

    /// Store integers in a shared memory object or file, or change one atomically
    ///
    /// A C program that maps the object finds a plain int there. If the offset is a multiple of the integer's width, the
    /// store is atomic: other programs see the old integer or the new one, never a mixture. Other offsets work, but the
    /// store is not atomic. Several VALUEs go into consecutive integers, as in an array, and each is stored separately.
    ///
    /// A missing object is created, filled with zeros, just large enough, and accessible only to its owner. An object of
    /// size 0 grows to fit. An object of any other size never grows: it is an error if it is too small (shmtool create
    /// --resize makes it larger).
    ///
    /// Each store wakes the processes that wait for the integer in shmtool read-int --until.
    ///
    /// --add, --swap, --or, --and, --xor and --if are atomic operations: between reading the integer and storing the new
    /// one, no other process can change it. With --wait, shmtool sleeps until the condition of --if is true. Scripts can
    /// build counters, locks and semaphores from them. They need an offset that is a multiple of the integer's width.
    ///
    /// With --file, the operand is a file instead of an object. It is mapped into memory in the same way, so that the
    /// change reaches the file and every program that maps it.
    WriteInt(WriteIntArgs),

    /// Print integers from a shared memory object or file, or wait for a value
    ///
    /// Reading changes nothing and needs only read permission. If the offset is a multiple of the integer's width, the
    /// read is atomic: it returns a value that some program stored, never a mixture.
    ///
    /// With --until, shmtool sleeps until the condition is true, and uses next to no processor time. The object need not exist
    /// yet. If the object is removed and created again, shmtool waits for the new one. shmtool notices a store by
    /// shmtool write-int immediately, and an ordinary store to mapped memory within 50 milliseconds. It may miss a value
    /// that is overwritten soon after. --follow prints the integer whenever it changes.
    ReadInt(ReadIntArgs),

    /// List shared memory objects and the processes that use them
    ///
    /// The table shows the name of each object, its size, the memory allocated for it, who may read and write it (as in
    /// ls -l), its owner and its age. The age is the time since the object was last modified, or since its mode, owner
    /// or names last changed. A question mark means that something is unknown. On a terminal, totals follow the table;
    /// they include what is not listed.
    ///
    /// With NAMEs, only these objects are listed. If a NAME does not match the filters, the status is 5.
    ///
    /// The processes come from /proc, which shows only processes that you may inspect and, in a container, only those of
    /// that container. If shmtool finds no process that uses an object, it asks the kernel whether the object is in use.
    Ls(LsArgs),

    /// Remove shared memory objects, or clean up all that nobody uses
    ///
    /// The name is gone immediately. Processes that use the object keep it; its memory is freed when the last of them
    /// ends, or unmaps and closes it. Without filters, a NAME is removed whether or not the object is in use, just as rm
    /// removes a file.
    ///
    /// With filters, an object is removed only if it matches all of them and nobody uses it: no process in any
    /// container has it open or mapped. --include-in-use overrides this protection.
    ///
    /// Filters without a NAME sweep: they remove all such objects. Objects that are in use or belong to other users are
    /// kept, and that is not an error. If both filters and NAMEs are given, each NAME that is kept is reported, and the
    /// status is 5.
    ///
    /// If only shell scripts use an object, nobody uses it between two commands of a script. Use --older-than to keep
    /// such objects.
    Unlink(UnlinkArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn clap_accepts_the_declarations() {
        Cli::command().debug_assert();
    }
}
