#!/usr/bin/env bash
# boards/web/build.sh [FOLDER]: the page as static files, in boards/web/dist or FOLDER, and pkg/ as it is published.
#
# MODULES=FOLDER   takes the four modules from there and compiles nothing
# WASM_OPT=PROGRAM optimises them, which takes a tenth off: wasm-opt of npm's binaryen 132; Debian's is too old
set -euo pipefail

main() {
    local out
    out=$(realpath -m "${1:-"$(dirname "${BASH_SOURCE[0]}")/dist"}")
    cd "$(dirname "${BASH_SOURCE[0]}")"
    modules
    cp ../../LICENSE-* pkg
    rm -rf "$out"
    mkdir -p "$out/pocketgan" "$out/models"
    cp page/*.html page/*.css pkg/*.wasm "$out"
    mv "$out"/*.wasm "$out/pocketgan"
    scripts page "$out"
    scripts pkg "$out/pocketgan"
    models "$out"
    service_worker "$out"
    echo "$out: $(du -sh "$out" | cut -f 1), open it with any web server, e.g. python3 -m http.server -d $out"
}

# modules: the four modules, into pkg/.
modules() {
    local name kind target=${CARGO_TARGET_DIR:-../target}/wasm32-unknown-unknown/release
    for name in pocketgan-{simd,relaxed,full-simd,full-relaxed}; do
        if [[ -n ${MODULES:-} ]]; then
            cp "$MODULES/$name.wasm" "pkg/$name.wasm"
        else
            kind=()
            if [[ $name == *-relaxed ]]; then kind+=(--config relaxed.toml); fi
            if [[ $name == *-full-* ]]; then kind+=(--features full); fi
            cargo build --locked --release "${kind[@]}"
            cp "$target/web.wasm" "pkg/$name.wasm"
        fi
        optimise "pkg/$name.wasm"
    done
}

# optimise MODULE: in place, where there is a program for it.
optimise() {
    [[ -n ${WASM_OPT:-} ]] || return 0
    "$WASM_OPT" -O2 --enable-simd --enable-relaxed-simd --enable-bulk-memory --enable-sign-ext --enable-mutable-globals \
        --enable-nontrapping-float-to-int "$1" -o "$1.optimised"
    mv "$1.optimised" "$1"
}

# scripts FROM OUT: without comments, which here have lines of their own, and without indentation.
scripts() {
    local script
    for script in "$1"/*.js; do
        sed -E -e '/^ *(\/\/|\/\*\*|\*)/d' -e 's/^ +//' "$script" >"$2/$(basename "$script")"
    done
}

# models OUT: the committed models, of each folder the file that learns if there is one; their names on the page are what their
# cards say below the heading. Those that learn come first.
models() {
    local folder name file title options=()
    for folder in ../../models/*/; do
        name=$(basename "$folder")
        title=$(sed -n '3s/[,.].*//p' "$folder/CARD.md")
        for file in "$folder$name"{-tail,}.pgan; do
            [[ -f $file ]] || continue
            cp "$file" "$1/models"
            options+=("$([[ $file == *-tail.pgan ]] || echo ' ')<option value=\"$name\" data-file=\"models/${file##*/}\">$title</option>")
            break
        done
    done
    mapfile -t options < <(printf '%s\n' "${options[@]}" | LC_ALL=C sort -r)
    file=$(sed 's/.*data-file="//; s/".*//' <<<"${options[0]}")
    sed -i -e "s|@MODELS@|${options[*]}|" -e "s|@MODEL@|$file|" "$1/index.html"
}

# service_worker OUT: fills in the files to keep, and a version that changes with any of them.
service_worker() {
    local files version
    files=$(cd "$1" && find . -type f ! -name sw.js | sort | sed 's|^\./||' | paste -sd ' ')
    version=$(cd "$1" && cat sw.js $files | sha256sum | cut -c 1-16)
    sed -i -e "s|@FILES@|./ $files|" -e "s|@VERSION@|$version|" "$1/sw.js"
}

main "$@"
