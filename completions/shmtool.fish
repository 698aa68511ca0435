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
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "create" -d 'Make shared memory objects that hold zeros'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "write-int" -d 'Store integers in a shared memory object, or change one in a single step'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "read-int" -d 'Print the integers that a shared memory object holds, or wait for one'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "ls" -d 'List shared memory objects'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "unlink" -d 'Remove the names of shared memory objects'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l offset -d 'Leave out this many bytes at the start of each operand; past its end nothing is printed' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l length -d 'Print at most this many bytes of each operand' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l shm -d 'Print shared memory objects: the operands are their NAMEs'
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l progress -d 'Show on standard error how far it is, how fast, and the time left; only on a terminal'
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -s s -l size -d 'How many bytes: 4096, 0x1000, 4K or 4KiB (4096), 4KB (4000); likewise M, G, T' -r
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -s m -l mode -d 'Who may read (4) and write (2) it, as for chmod: a digit each for its owner, its group and others' -r
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
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s a -l all -d 'List named semaphores too, which are kept in the same place as sem.NAME'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s q -l names -d 'Print names alone, one a line, for scripts'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s J -l json -d 'Print everything that is known, as JSON'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s f -l force -d 'A NAME that does not exist is no error'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "cat" -d 'Print files, or shared memory objects, through a memory mapping'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "create" -d 'Make shared memory objects that hold zeros'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "write-int" -d 'Store integers in a shared memory object, or change one in a single step'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "read-int" -d 'Print the integers that a shared memory object holds, or wait for one'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "ls" -d 'List shared memory objects'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "unlink" -d 'Remove the names of shared memory objects'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
