# store.bash - the part of `run` about `roma store`; read by it.
# shellcheck shell=bash disable=SC2154 # variables of run

refuse "store: no word" "what to do with which store is missing" store
refuse "store: unknown word" "no word 'nosuch'" store nosuch
refuse "store: no store" "info: the path of a store is missing" store info
refuse "store: too much" "info: too many arguments" store info a b
refuse "store: an option of another word" "info does not take this option" store info --bytes 1M a
refuse "store: not a size" "--bytes: 'much' is not a size" store create --bytes much a
refuse "store: not a mode" "--mode: '999' is not octal" store create --mode 999 a
refuse "store: not a number" "--sessions: '0' is not a number" store create --sessions 0 a
expect "store: no such file" 1 err 'nosuch: .*No such file' store info "$scratch/nosuch"
expect "store: a foreign file" 1 err 'this is no store' store check tests/tool/run

# A command succeeds and says nothing.
succeed() { # NAME ARGUMENTS...
    local name=$1
    shift
    call "$@"
    if ((status == 0)) && [[ ! -s $scratch/out && ! -s $scratch/err ]]; then
        pass
    else
        fail "$name" "ended with $status, or spoke"
    fi
}

store=$scratch/a.roma
small=(--max 256M --sessions 8 --lanes 16)
succeed "store create" store create "$store" --bytes 2M "${small[@]}" --mode 640
if [[ $(stat -c %a "$store") == 640 ]]; then pass; else fail "store create --mode" "another"; fi
expect "store create: not over another" 1 err 'File exists' store create "$store"
expect "store info: room" 0 out 'room for blocks: 2 MiB of at most 256 MiB' store info "$store"
expect "store info: state" 0 out '^state: closed cleanly' store info "$store"
expect_json "store info --json" 0 'a["clean"] and a["committed_bytes"] == 2 << 20
    and a["sessions_max"] == 8 and len(a["uuid"]) == 36 and "full_is_error" in a["promises"]
    and a["figures"]["store.max_bytes"] == 256 << 20' store info --json "$store"
expect "store sessions: none" 0 out '^nobody is attached$' store sessions "$store"
expect "store check: sound" 0 out ': 0 faults$' store check "$store"
expect_json "store ls --json: empty" 0 'a == []' store ls --json "$store"

# What a program leaves in it.
test_filled() {
    "$fill" "$store" || fail "store: fill" "the program failed"
    expect "store ls: a name" 0 out '^list +7 +32 B +0x[0-9a-f]+$' store ls "$store"
    expect "store ls: a root" 0 out '^\(root 2\) +32 B +0x' store ls "$store"
    expect_json "store ls --json" 0 \
        '[e["name"] for e in a] == ["(root 2)", "list"] and a[1]["type"] == 7' \
        store ls --json "$store"
    expect_json "store dump: the list" 0 'len(a["blocks"]) == 4 and a["roots"][2] != 0
        and a["directory"][0]["name"] == "list"
        and sorted(sum(s != 0 for s in b["slots"]) for b in a["blocks"]) == [0, 0, 1, 1]
        and all(b["shared_count"] == 1 and b["local_count"] == 0 for b in a["blocks"])
        and "contents" not in a["blocks"][0]' store dump "$store"
    expect_json "store dump --contents" 0 \
        'sum(bytes.fromhex(b["contents"])[8:22] == b"node of a list" for b in a["blocks"]) == 3' \
        store dump --contents "$store"
    expect "store check: filled" 0 out ': 0 faults$' store check "$store"
}

test_kept() {
    succeed "store checkpoint" store checkpoint "$store"
    succeed "store checkpoint: elsewhere" store checkpoint --copy "$store" "$scratch/c"
    expect "store checkpoint: not over itself" 1 err 'path' store checkpoint "$store" "$store"
    expect "store checkpoint: opens as a store" 0 out '^list ' store ls "$store.checkpoint"
    "$fill" "$store" damage || fail "store: damage" "the program failed"
    expect "store check: a fault, and where" 1 out '^0x3018: slot: ' store check "$store"
    expect_json "store check --json" 1 'not a["sound"] and a["error"] is None
        and a["faults"][0]["kind"] == "slot" and a["faults"][0]["offset"] == 0x3018' \
        store check --json "$store"
    succeed "store restore" store restore "$store"
    expect "store restore: sound again" 0 out ': 0 faults$' store check "$store"
    expect "store restore: what was there is kept" 1 out '^0x3018: ' store check "$store.crashed"
    succeed "store restore: from elsewhere" store restore "$store" "$scratch/c"
    expect "store restore: no checkpoint" 1 err 'No such file' store restore "$store" "$scratch/no"
}

test_attached() {
    local holder line
    coproc HOLDER { exec "$fill" "$store" wait; }
    holder=$HOLDER_PID
    read -r line <&"${HOLDER[0]}"
    [[ $line == ready ]] || fail "store: a holder" "it is not ready"
    expect "store sessions: alive" 0 out \
        "^ +[0-9]+  alive +$holder  fill_store +.* 1 +1 +128 KiB +0$" store sessions "$store"
    expect "store restore: not while it is open" 1 err 'somebody has the store open' \
        store restore "$store"
    kill -9 "$holder"
    wait "$holder" 2>/dev/null
    expect_json "store sessions --json: dead" 0 \
        "[s['alive'] for s in a if s['pid'] == $holder] == [False]" store sessions --json "$store"
    expect "store sessions --recover" 0 err '^roma store: [1-9] dead sessions? recovered$' \
        store sessions --recover "$store"
    expect "store sessions: recovered" 0 out '^nobody is attached$' store sessions "$store"
    expect "store check: recovered" 0 out ': 0 faults$' store check "$store"
}

fill=$scratch/fill_store
library=$(ldd "$roma" | awk '$1 ~ /^libroma\.so/ { print $3 }')
if ${CC:-cc} -Iinclude -o "$fill" tests/tool/fill_store.c "$library" \
    -Wl,-rpath,"$(dirname "$library")" 2>"$scratch/err"; then
    test_filled
    test_kept
    test_attached
else
    skip "store with something in it" "no C compiler for the program that fills it"
fi
