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
    for column in @COLUMNS@
        printf '%s%s\n' "$before" $column
    end
end

function __shmtool_conditions
    printf '%s\n' (string replace -r '\t' ':\t' -- @CONDITIONS@)
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
