# Completion of shmtool for bash. Made by RENEW=1 cargo test --test generated.

# Offers those of its arguments that go on from what was typed.
_shmtool_offer() {
    local candidate
    for candidate; do
        candidate=$option$candidate
        [[ $candidate == "$typed"* ]] && COMPREPLY+=("${candidate#"$kept"}")
    done
}

# Offers the objects that there are. A name may hold anything: it is quoted, and one that is shown escaped is left out.
_shmtool_names() {
    local line name all=
    [[ " ${words[*]} " == *\ -a* || " ${words[*]} " == *\ --all\ * ]] && all=-a
    while IFS= read -r line; do
        [[ $line == */* && $line != *\\* ]] || continue
        name=/${line#*/}
        [[ -n $typed && $typed != /* ]] && name=${name#/}
        [[ $name == "$typed"* ]] || continue
        name=${name#"$kept"}
        case $quote in
            '') printf -v name %q "$name" ;;
            \") [[ $name == *[\"\$\`\!]* ]] && continue ;;
            *) [[ $name == *\'* ]] && continue ;;
        esac
        COMPREPLY+=("$name")
    done < <("${words[0]}" ls $all -o size,name 2> /dev/null)
}

_shmtool() {
    local IFS=$' \t\n'
    # Readline breaks words at = and : where the shell does not: they are put together again, up to the cursor.
    local rest=${COMP_LINE:0:COMP_POINT} index piece trimmed
    local -a words=()
    for ((index = 0; index <= COMP_CWORD; index++)); do
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        piece=${COMP_WORDS[index]}
        ((index < COMP_CWORD)) || piece=$trimmed
        if ((index)) && [[ $trimmed == "$rest" ]]; then
            words[${#words[@]}-1]+=$piece
        else
            words+=("$piece")
        fi
        rest=${trimmed#"$piece"}
    done

    # What was typed of the word, and how much of that readline keeps; both without quotes.
    local last=$((${#words[@]} - 1)) quote= typed kept option=
    typed=${words[last]}
    case $typed in
        \"*|\'*) quote=${typed:0:1} typed=${typed:1} ;;
    esac
    kept=${typed:0:${#typed}-${#2}}
    [[ $quote ]] || typed=${typed//\\/} kept=${kept//\\/}

    COMPREPLY=()
    if ((last == 1)); then
        _shmtool_offer cat create write-int read-int ls unlink help -h --help -V --version
        return
    fi

    # What stands before it: operands, an option that wants a value, a --.
    local operands=0 wants= dashes=
    for ((index = 2; index < last; index++)); do
        if [[ $wants ]]; then
            wants=
        elif [[ $dashes ]]; then
            ((operands++))
        else
            case ${words[index]} in
                --) dashes=$index ;;
                --color|--count|--from|--glob|--if|--larger-than|--length|--mode|--offset|--older-than|--output|--owner|--pid|--size|--sort|--timeout|--type|--until|-g|-m|-o|-s|-t) wants=${words[index]} ;;
                -?*) ;;
                *) ((operands++)) ;;
            esac
        fi
    done
    if [[ ! $wants && ! $dashes && $typed == --*=* ]]; then
        wants=${typed%%=*} option=$wants=
    fi

    case $wants in
        '') ;;
        --type|-t) _shmtool_offer i8 i16 i32 i64 u8 u16 u32 u64; return ;;
        --sort) _shmtool_offer name size allocated age owner pid; return ;;
        --color) _shmtool_offer auto always never; return ;;
        --owner) _shmtool_offer $(compgen -u); return ;;
        --until)
            compopt -o nospace
            _shmtool_offer eq: ne: lt: le: gt: ge:
            return
            ;;
        --output|-o)
            compopt -o nospace
            local list=${typed#"$option"}
            case $list in
                *,*) option+=${list%,*}, ;;
                +*) option+=+ ;;
            esac
            _shmtool_offer name type size allocated mode owner uid group gid inode links modified changed age in-use pid user access command all
            return
            ;;
        --from) compopt -o default; return ;;
        *) return ;;
    esac

    local verb=${words[1]}
    if [[ ! $dashes && $typed == -* ]]; then
        case $verb in
        cat) _shmtool_offer --shm --offset --length --progress -h --help ;;
        create) _shmtool_offer -s --size -m --mode --from --sparse --progress --exist-ok --resize --replace -h --help ;;
        write-int) _shmtool_offer -t --type --offset --no-create --add --swap --if -h --help ;;
        read-int) _shmtool_offer -t --type --offset --count -x --hex --until --timeout -h --help ;;
        ls) _shmtool_offer -a --all --unlinked -g --glob --owner --older-than --larger-than --pid --unused --in-use -p --processes -o --output --sort -r --reverse -b --bytes -n --numeric --color --no-header -q --names -0 --null -J --json -h --help ;;
        unlink) _shmtool_offer -a --all --include-in-use -g --glob --owner --older-than --larger-than --pid --unused -f --force -n --dry-run -v --verbose --color -h --help ;;
        help) _shmtool_offer  ;;
        esac
        return
    fi
    case $verb in
        help) ((operands == 0)) && _shmtool_offer cat create write-int read-int ls unlink help ;;
        cat)
            case " ${words[*]} " in
                *\ --shm\ *) _shmtool_names ;;
                *) compopt -o default ;;
            esac
            ;;
        create)
            if [[ ! $dashes ]]; then
                _shmtool_names
            elif ((dashes == last - 1)); then
                COMPREPLY=($(compgen -c -- "$typed"))
            else
                compopt -o default
            fi
            ;;
        read-int|write-int) ((operands == 0)) && _shmtool_names ;;
        ls|unlink) _shmtool_names ;;
    esac
}

complete -F _shmtool shmtool
