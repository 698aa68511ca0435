# Completion of shmtool for fish. Made by RENEW=1 cargo test --test generated.

# The objects that there are, with their sizes. One that is shown escaped is left out.
function __shmtool_names
    set -l all
    if string match -qr -- '^(-a.*|--all)$' (commandline -opc)
        set all -a
    end
    for line in (shmtool ls $all -o size,name 2> /dev/null)
        string match -qr '\\\\' -- $line
        and continue
        set -l parts (string match -r '^ *(\S+) +(/.*)$' -- $line)
        and printf '%s\t%s\n' $parts[3] $parts[2]
    end
end

function __shmtool_columns
    # What is there already, up to the last comma or after a plus, stays.
    set -l before (string match -r '^(?:.*,|\+)' -- (commandline -ct | string replace -r '^--output=' ''))
    for column in 'name	the NAME' 'type	memory or semaphore' 'size	the size in bytes' 'allocated	the memory allocated for it, in bytes' 'mode	who may read and write it' 'owner	the user who owns it' 'uid	the owners number' 'group	its group' 'gid	the groups number' 'inode	its number in the file system' 'links	how many names it has' 'modified	when it was last written to' 'changed	when its mode, owner or names last changed' 'age	the time since the later of the two, in seconds' 'in-use	whether any process anywhere uses it' 'pid	the id of a process that uses it' 'user	the user of the process' 'access	how the process uses it' 'command	the command line of the process' 'all	all of them'
        printf '%s%s\n' "$before" $column
    end
end

function __shmtool_conditions
    printf '%s\n' (string replace -r '\t' ':\t' -- 'eq	equal' 'ne	not equal' 'lt	less than' 'le	less or equal' 'gt	greater than' 'ge	greater or equal')
end

# Whether no NAME was said yet.
function __shmtool_wants_name
    not string match -q -- '/*' (commandline -opc)
end

function __shmtool_has
    contains -- $argv[1] (commandline -opc)
end

complete -c shmtool -n '__fish_shmtool_using_subcommand cat; and __shmtool_has --shm' -f -a '(__shmtool_names)'
complete -c shmtool -n '__fish_shmtool_using_subcommand cat; and not __shmtool_has --shm' -F
complete -c shmtool -n '__fish_shmtool_using_subcommand create; and not __shmtool_has --' -f -a '(__shmtool_names)'
complete -c shmtool -n '__fish_shmtool_using_subcommand create; and __shmtool_has --' -F -a '(__fish_complete_command)'
complete -c shmtool -n '__fish_shmtool_using_subcommand write-int read-int' -f
complete -c shmtool -n '__fish_shmtool_using_subcommand write-int read-int; and __shmtool_wants_name' -f -a '(__shmtool_names)'
complete -c shmtool -n '__fish_shmtool_using_subcommand ls unlink' -f -a '(__shmtool_names)'

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
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "cat" -d 'Print files or shared memory objects through a memory mapping'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "create" -d 'Create shared memory objects, filled with zeros or from a file'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "write-int" -d 'Store integers in a shared memory object, or change one atomically'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "read-int" -d 'Print integers from a shared memory object, or wait for a value'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "ls" -d 'List shared memory objects and the processes that use them'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "unlink" -d 'Remove shared memory objects, or clean up all that nobody uses'
complete -c shmtool -n "__fish_shmtool_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l offset -d 'Skip this many bytes at the start of each operand' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l length -d 'Print at most this many bytes of each operand' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l shm -d 'Print shared memory objects; the operands are NAMEs'
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -l progress -d 'Show a progress bar on the terminal'
complete -c shmtool -n "__fish_shmtool_using_subcommand cat" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -s s -l size -d 'Size in bytes: 4096, 64K, 1M (default: 0, or that of FILE)' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -s m -l mode -d 'Permissions in octal, as for chmod' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l from -d 'Fill with the contents of FILE (-: standard input)' -r -F
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l sparse -d 'Do not reserve memory'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l progress -d 'Show a progress bar on the terminal while FILE is copied'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l exist-ok -d 'Leave the existing object as it is'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l resize -d 'Change the size to SIZE and keep the contents'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -l replace -d 'Replace the existing object in one step'
complete -c shmtool -n "__fish_shmtool_using_subcommand create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -s t -l type -d 'Type: i8 i16 i32 i64 u8 u16 u32 u64' -r -f -a "i8\t''
i16\t''
i32\t''
i64\t''
u8\t''
u16\t''
u32\t''
u64\t''"
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -l offset -d 'Position in the object, in bytes' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -l if -d 'Store VALUE only if the integer is OLD (if not: status 5)' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -l no-create -d 'Do not create a missing object, but fail (status 3)'
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -l add -d 'Add VALUE to the integer and print the sum'
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -l swap -d 'Store VALUE and print the previous integer'
complete -c shmtool -n "__fish_shmtool_using_subcommand write-int" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -s t -l type -d 'Type: i8 i16 i32 i64 u8 u16 u32 u64' -r -f -a "i8\t''
i16\t''
i32\t''
i64\t''
u8\t''
u16\t''
u32\t''
u64\t''"
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -l offset -d 'Position in the object, in bytes' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -l count -d 'Print N integers, or all up to the end of the object' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -l until -d 'Sleep until the condition is true: 5, ne:0, ge:4' -r -f -a "(__shmtool_conditions)"
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -l timeout -d 'Give up after DURATION (status 124); 0 checks once' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -s x -l hex -d 'Print all bits in hexadecimal, such as 0x0000002a'
complete -c shmtool -n "__fish_shmtool_using_subcommand read-int" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s g -l glob -d 'Name matches PATTERN; !PATTERN: does not match' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l owner -d 'Owned by this user, given by name or number' -r -f -a "(__fish_complete_users)"
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l older-than -d 'Not modified for this long: 30s, 10m, 4h, 2d' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l larger-than -d 'More memory allocated than this: 64K, 1M' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l pid -d 'Process PID has it open or mapped' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s o -l output -d 'Show these columns; +LIST adds to the default ones. Columns: name, type, size, allocated, mode, owner, uid, group, gid, inode, links, modified, changed, age, in-use, pid, user, access, command, all' -r -f -a "(__shmtool_columns)"
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l sort -d 'Sort by name, size, allocated, age, owner or pid' -r -f -a "name\t''
size\t''
allocated\t''
age\t''
owner\t''
pid\t''"
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l color -d 'Use colors: auto (on a terminal), always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s a -l all -d 'Include named semaphores'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l unlinked -d 'List objects without a name that are still in use'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l unused -d 'No process anywhere has it open or mapped'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l in-use -d 'A process has it open or mapped, or might have'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s p -l processes -d 'Show the processes that use each object'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s r -l reverse -d 'Reverse the order'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s b -l bytes -d 'Print sizes in bytes: 4096 instead of 4KiB'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s n -l numeric -d 'Print users and groups as numbers'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -l no-header -d 'Do not print the header'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s q -l names -d 'Print only names, one per line, for scripts'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s 0 -l null -d 'With -q, end each name with a NUL byte, for xargs -r0'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s J -l json -d 'Print everything that is known, as JSON'
complete -c shmtool -n "__fish_shmtool_using_subcommand ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s g -l glob -d 'Name matches PATTERN; !PATTERN: does not match' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -l owner -d 'Owned by this user, given by name or number' -r -f -a "(__fish_complete_users)"
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -l older-than -d 'Not modified for this long: 30s, 10m, 4h, 2d' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -l larger-than -d 'More memory allocated than this: 64K, 1M' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -l pid -d 'Process PID has it open or mapped' -r -f
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -l color -d 'Use colors: auto (on a terminal), always or never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s a -l all -d 'Include named semaphores'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -l include-in-use -d 'With filters, also remove objects that are in use'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -l unused -d 'No process anywhere has it open or mapped'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s f -l force -d 'Ignore missing NAMEs'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s n -l dry-run -d 'Remove nothing, print what would be removed'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s v -l verbose -d 'Print each removed object, and a summary after a sweep'
complete -c shmtool -n "__fish_shmtool_using_subcommand unlink" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "cat" -d 'Print files or shared memory objects through a memory mapping'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "create" -d 'Create shared memory objects, filled with zeros or from a file'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "write-int" -d 'Store integers in a shared memory object, or change one atomically'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "read-int" -d 'Print integers from a shared memory object, or wait for a value'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "ls" -d 'List shared memory objects and the processes that use them'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "unlink" -d 'Remove shared memory objects, or clean up all that nobody uses'
complete -c shmtool -n "__fish_shmtool_using_subcommand help; and not __fish_seen_subcommand_from cat create write-int read-int ls unlink help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
