# Offers the existing objects with their sizes. Names that ls escapes are left out.
(( $+functions[_shmtool_names] )) ||
_shmtool_names() {
    local line name
    local -a all names shown
    (( ${words[(I)(-a*|--all)]} )) && all=(-a)
    for line in ${(f)"$(_call_program names shmtool ls $all -o size,name 2> /dev/null)"}; do
        [[ $line == */* && $line != *\\* ]] || continue
        name=/${line#*/}
        [[ -n $PREFIX && $PREFIX != /* ]] && name=${name#/}
        names+=("$name")
        shown+=("$name  -- ${${line%%/*}// /}")
    done
    _wanted names expl 'shared memory object' compadd -l -d shown -a names
}

# After the -- of create, completes a command with its own arguments.
(( $+functions[_shmtool_names_or_command] )) ||
_shmtool_names_or_command() {
    local dashes=${words[(i)--]}
    if (( dashes < CURRENT )); then
        words=("${(@)words[dashes+1,-1]}")
        (( CURRENT -= dashes ))
        _normal
    else
        _shmtool_names
    fi
}

(( $+functions[_shmtool_operands] )) ||
_shmtool_operands() {
    if (( ${words[(I)--shm]} )); then _shmtool_names; else _files; fi
}

(( $+functions[_shmtool_columns] )) ||
_shmtool_columns() {
    compset -P '+'
    _values -s , column @COLUMNS@
}

(( $+functions[_shmtool_conditions] )) ||
_shmtool_conditions() {
    local -a conditions
    conditions=(@CONDITIONS@)
    if compset -P '*:'; then
        _message VALUE
    else
        _describe -t conditions comparison conditions -S :
    fi
}
