#!/usr/bin/env bash
# Prints the table of tests/bench/README.md with the port limits of the inner loops for hosts. Needs llvm-22 and rustup's
# aarch64-unknown-linux-gnu with its linker.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${CARGO_TARGET_DIR:=target}"
export CARGO_TARGET_DIR
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

main() {
    echo '| loop | CPU | instructions | multiply-adds | lanes | port limit, cycles | cycles of llvm-mca |'
    echo '|---|---|---:|---:|---:|---:|---:|'
    local x86 arm
    x86=$(program)
    loop "$x86" Avx2 ymm 8 haswell x86_64
    loop "$x86" Avx2 ymm 8 znver3 x86_64
    loop "$x86" Avx512 zmm 16 znver4 x86_64
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    arm=$(program --target aarch64-unknown-linux-gnu)
    loop "$arm" Neon '\.4s' 4 cortex-a53 aarch64
    loop "$arm" Neon '\.4s' 4 cortex-a72 aarch64
}

# program OPTIONS...: builds the benchmark of tap GEMMs and says where it is.
program() {
    cargo bench --quiet --no-run --message-format json -p pocketgan-kernels --features std --bench tap_gemm "$@" |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

# loop PROGRAM TYPE REGISTERS LANES CPU ARCHITECTURE: the loop of the largest tile of one instruction set.
loop() {
    local code=$scratch/loop
    llvm-objdump-22 -d --no-show-raw-insn "$1" | awk -v type="$2" -v registers="$3" -v out="$code" '
        # A symbol, or a local label inside of it.
        /^[0-9a-f]+ <.*>:$/ { inside = $2 ~ type && $2 ~ /outline/; n = 0; delete line }
        !inside || !/^ *[0-9a-f]+:/ { next }
        {
            address = $1
            sub(":", "", address)
            line[address] = ++n
            $1 = ""
            text[n] = $0
            if ($2 !~ /^(j[a-z]+|b\.[a-z]+|cbnz)$/ || !match($0, /0x[0-9a-f]+/)) next
            first = line[substr($0, RSTART + 2, RLENGTH - 2)]
            if (!first || first >= n) next
            count = inner = 0
            for (i = first; i < n; i++) {
                if (text[i] ~ /(vfmadd|fmla)/ && text[i] ~ registers) count++
                if (text[i] ~ /^ (j[a-z]+|b\.[a-z]+|cbnz|cbz|b|call|bl) /) inner = 1
            }
            if (inner || count <= most) next
            most = count
            printf "" > out
            for (i = first; i < n; i++) { sub(/ *(<|\/\/).*/, "", text[i]); print text[i] > out }
            close(out)
        }
        END { print most > out ".count" }'
    llvm-mca-22 -mtriple="$6" -mcpu="$5" -iterations=100 "$code" 2>"$scratch/log" |
        awk -v type="${2,,}" -v cpu="$5" -v lanes="$4" -v n="$(($(wc -l <"$code") + 1))" -v count="$(<"$code.count")" '
            /^Total Cycles/ { cycles = $3 / 100 }
            /^Block RThroughput/ { limit = $3 }
            END { printf "| %s | %s | %d | %d | %d | %.1f | %.1f |\n", type, cpu, n, count, lanes, limit, cycles }'
}

main
