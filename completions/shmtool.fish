# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_shmtool_global_optspecs
    string join \n h/help V/version
end

function __fish_shmtool_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_shmtool_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_shmtool_using_subcommand
    set -l cmd (__fish_shmtool_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c shmtool -n "__fish_shmtool_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_needs_command" -s V -l version -d 'Print version'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "cat" -d 'Print files, or shared memory objects, through a memory mapping'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "create" -d 'Make shared memory objects, whole or not at all'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "write-int" -d 'Store integers in a shared memory object, or change one in a single step'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "read-int" -d 'Print the integers that a shared memory object holds, or wait for one'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "ls" -d 'List shared memory objects, and who uses them'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "unlink" -d 'Remove the names of shared memory objects, or sweep away what nobody uses'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l offset -d 'Leave out this many bytes at the start of each operand; past its end nothing is printed' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l length -d 'Print at most this many bytes of each operand' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l shm -d 'Print shared memory objects: the operands are their NAMEs'
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l progress -d 'Show on standard error how far it is, how fast, and the time left; only on a terminal'
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -s s -l size -d 'How many bytes: 4096, 0x1000, 4K or 4KiB (4096), 4KB (4000); likewise M, G, T. Without, 0, or as many as FILE has' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -s m -l mode -d 'Who may read (4) and write (2) it, as for chmod: a digit each for its owner, its group and others' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l from -d 'Fill it with the bytes of FILE; - is standard input. If SIZE is larger, zeros come after them; if it is smaller, that is an error' -r -F
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l sparse -d 'Do not set the memory aside at once: what is never written takes none, and where none is left later, whoever writes gets a bus error'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l progress -d 'Show on standard error how far it is with FILE, how fast, and the time left; only on a terminal'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l exist-ok -d 'Leave an object that exists as it is. One that is smaller than SIZE is an error'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l resize -d 'Give an object that exists this SIZE, and keep what it holds. One that somebody uses is not made smaller'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l replace -d 'Let the new object take the name of one that exists, in one step. Who has the old one open or mapped keeps it'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -s t -l type -d 'The integer\'s type: i8, i16, i32, i64 (signed) or u8, u16, u32, u64 (not signed), by its width in bits; i32 is C\'s int' -r -f -a "i8\t''
i16\t''
i32\t''
i64\t''
u8\t''
u16\t''
u32\t''
u64\t''"
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -l offset -d 'How many bytes into the object the integer starts' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -l if -d 'Store VALUE only if the integer is OLD; if not, nothing is changed or said, and the status is 5. A missing object counts as 0' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -l no-create -d 'An object that does not exist is an error (status 3), and is not made'
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -l add -d 'Add VALUE to the integer, and print the new one. VALUE may be negative for every TYPE. A sum that does not fit the type is an error, and changes nothing. A missing object counts as 0'
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -l swap -d 'Store VALUE, and print the integer that was there before. A missing object counts as 0'
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -s t -l type -d 'The integer\'s type: i8, i16, i32, i64 (signed) or u8, u16, u32, u64 (not signed), by its width in bits; i32 is C\'s int' -r -f -a "i8\t''
i16\t''
i32\t''
i64\t''
u8\t''
u16\t''
u32\t''
u64\t''"
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -l offset -d 'How many bytes into the object the integer starts' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -l count -d 'Print this many integers, one after the other; all is every whole one to the end of the object' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -l until -d 'Wait until the object exists and its integer is VALUE, then print it; ge:4 waits for 4 or more. OP is one of eq (equal), ne (not equal), lt (less than), le (less or equal), gt (greater than), ge (greater or equal). With --count, the first integer is waited for' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -l timeout -d 'Give up after this time (status 124): 250ms, 30s, 10m, 4h, 2d, 1h30m, or seconds as 0.5; 0 looks just once' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -s x -l hex -d 'Print the bits of the type\'s width, as 0x0000002a'
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l sort -d 'Order by this: name, or size, used (the largest first), age (the oldest first)' -r -f -a "name\t''
size\t''
used\t''
age\t''"
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s o -l output -d 'Show these columns, with commas between them: name (the NAME), type (memory or semaphore), size (the size in bytes), used (the memory it really takes, in bytes), mode (who may read and write it), owner (the user who owns it), uid (the owner\'s number), group (its group), gid (the group\'s number), inode (its number in the file system), links (how many names it has), modified (when it was last written to), changed (when its mode, owner or names last changed), age (the time since the later of the two, in seconds), processes (who has it mapped or open)' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s g -l glob -d 'Whose name matches: * is any text, ? is any one byte, [a-z] one of these, {a,b} one or the other; or, with !PATTERN, whose name does not match. If there are several, any of those without !, and none of those with it' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l owner -d 'Which belong to this user, by name or number' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l older-than -d 'Which were not modified, and did not have their mode, owner or names changed, for this time: 250ms, 30s, 10m, 4h, 2d, 1h30m, or seconds. What a program stores in mapped memory does not always count as a modification; what write-int stores does' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s a -l all -d 'List named semaphores too, which are kept in the same place as sem.NAME'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s p -l processes -d 'Show who has each object mapped or open: process id, command, and how (r: read, w: write). Only processes that you may inspect, in your own container'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l unlinked -d 'List the objects whose names are gone but which some process still holds, and by whom: memory that df shows and no name explains'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s r -l reverse -d 'Reverse the order'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s b -l bytes -d 'Show sizes in bytes, not as 4KiB'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s n -l numeric -d 'Show users and groups as numbers'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s q -l names -d 'Print names alone, one a line, for scripts'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s 0 -l null -d 'With -q, end each name with a NUL byte and not a newline, for xargs -r0'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s J -l json -d 'Print everything that is known, as JSON; the processes too with -p'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l unused -d 'Which no process, in any container, has open or mapped. Only the owner of an object and root may ask. A script\'s counter is used by nobody between two commands'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s g -l glob -d 'Whose name matches: * is any text, ? is any one byte, [a-z] one of these, {a,b} one or the other; or, with !PATTERN, whose name does not match. If there are several, any of those without !, and none of those with it' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -l owner -d 'Which belong to this user, by name or number' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -l older-than -d 'Which were not modified, and did not have their mode, owner or names changed, for this time: 250ms, 30s, 10m, 4h, 2d, 1h30m, or seconds. What a program stores in mapped memory does not always count as a modification; what write-int stores does' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s a -l all -d 'Remove named semaphores too, which are kept in the same place as sem.NAME'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s f -l force -d 'Without NAMEs and without --unused, take objects that are in use too. A NAME that does not exist is no error'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s n -l dry-run -d 'Remove nothing, and print the names of what would go'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s v -l verbose -d 'Print the names of what goes, and at the end of a sweep what it came to'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -l unused -d 'Which no process, in any container, has open or mapped. Only the owner of an object and root may ask. A script\'s counter is used by nobody between two commands'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "cat" -d 'Print files, or shared memory objects, through a memory mapping'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "create" -d 'Make shared memory objects, whole or not at all'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "write-int" -d 'Store integers in a shared memory object, or change one in a single step'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "read-int" -d 'Print the integers that a shared memory object holds, or wait for one'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "ls" -d 'List shared memory objects, and who uses them'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "unlink" -d 'Remove the names of shared memory objects, or sweep away what nobody uses'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
