#!/usr/bin/env bash
# Prints the tables of tests/bench/README.md: instructions for each layer of the digits in QEMU, the port limits of the
# inner loops, and the size of the code. Needs what tests/run.sh boards needs, llvm-22, and rustup's targets.
set -euo pipefail
cd "$(dirname "$0")/../../boards/kernel-suite"
: "${CARGO_TARGET_DIR:=../target}"
export CARGO_TARGET_DIR
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

main() {
    echo '| machine | kernels | dense 16 -> 3136 | 64 -> 32, 7x7, 4 taps | 32 -> 16, 14x14, 4 taps | 16 -> 1, 28x28, 9 taps | picture |'
    echo '|---|---|---:|---:|---:|---:|---:|'
    layers thumbv7em-none-eabihf mps2-an386
    layers thumbv8m.main-none-eabihf mps3-an547
    layers riscv32imafc-unknown-none-elf virt
    layers thumbv6m-none-eabi mps2-an385
    echo
    echo '| loop | instructions | products | instructions per product | port limit, cycles | cycles of llvm-mca |'
    echo '|---|---:|---:|---:|---:|---:|'
    loops thumbv7em-none-eabihf thumbv7em cortex-m4
    loops thumbv8m.main-none-eabihf thumbv8.1m.main cortex-m55
    echo
    echo '| machine | plan | frozen | forward | input gradients | weight gradients | rest | together | without frozen |'
    echo '|---|---|---:|---:|---:|---:|---:|---:|---:|'
    steps thumbv7em-none-eabihf mps2-an386
    steps thumbv8m.main-none-eabihf mps3-an547
    echo
    (cd ../mps2-an386 && cargo build --quiet --release)
    local programs=(least mps2-an386 least_learn mps2-an386-learn) table
    echo "| crate |$(printf ' %s |' "${programs[@]}")"
    echo '|---|---:|---:|---:|---:|'
    table=$(sizes "${programs[0]}")
    local program
    for program in "${programs[@]:1}"; do
        table=$(join -t '|' -a 1 -a 2 -e 0 -o auto <(echo "$table") <(sizes "$program"))
    done
    sed 's/|/ | /g; s/.*/| & |/' <<<"$table"
}

# steps TARGET MACHINE: a row for each plan; instructions for each multiplication, and millions of both.
steps() {
    cargo build --quiet --release --bin count_step --target "$1"
    ./emulate.sh "$2" "$CARGO_TARGET_DIR/$1/release/count_step" | awk -F '|' -v machine="$2" '
        { products[$1] += $3; total[$1] += $4 }
        $2 == "frozen" { frozen_products = $3; frozen = $4; row = "| " machine " | " $1 " |" }
        $2 != "rest" { row = row sprintf(" %.2f M, %.2f |", $4 / 1e6, $4 / $3) }
        $2 == "rest" {
            moving = total[$1] - frozen
            of = products[$1] - frozen_products
            printf "%s %.2f M | %.2f M, %.2f | %.2f M, %.2f |\n", row, $4 / 1e6, total[$1] / 1e6, total[$1] / products[$1],
                moving / 1e6, moving / of
        }'
}

# layers TARGET MACHINE: a row for each implementation; layers 1 to 4 and 5 to 8 are phases of one each.
layers() {
    cargo build --quiet --release --bin count --target "$1"
    ./emulate.sh "$2" "$CARGO_TARGET_DIR/$1/release/count" | awk -v machine="$2" '
        !($1 in total) { order[++rows] = $1 }
        { total[$1] += $8; each[$1, $2] = $8 / $7 }
        END {
            for (i = 1; i <= rows; i++) {
                k = order[i]
                printf "| %s | %s | %.2f | %.2f | %.2f | %.2f | %.2f M |\n", machine, k, each[k, 0], each[k, 1], each[k, 5],
                    each[k, 9], total[k] / 1e6
            }
        }'
}

# loops TARGET ARCHITECTURE CPU: a row for each inner loop of weights in half precision, of the last implementation.
loops() {
    llvm-objdump-22 -d --no-show-raw-insn --mcpu="$3" "$CARGO_TARGET_DIR/$1/release/count" |
        awk -v out="$scratch/$3" '
            /^[0-9a-f]+ <.*>:$/ { name = $2; n = 0 }
            /^ *[0-9a-f]+:/ {
                address = $1
                sub(":", "", address)
                line[address] = ++n
                $1 = ""
                text[n] = $0
                if ($2 !~ /^(bne(\.w)?|le)$/ || !match($0, /0x[0-9a-f]+/)) next
                first = line[substr($0, RSTART + 2, RLENGTH - 2)]
                if (!first || first >= n) next
                products = conversions = vectors = inner = 0
                for (i = first; i < n; i++) {
                    if (text[i] ~ /vfma/) products++
                    if (text[i] ~ /vfma.*q/) vectors++
                    if (text[i] ~ /vcvtt/) conversions++
                    if (text[i] ~ / b[a-z]* |cmp/) inner = 1
                }
                if (inner || products < 4 || (!conversions && name !~ /dots/)) next
                file = out "-" (vectors ? "helium" : "fpu") "-" (conversions ? "tile" : "dots") "-" (vectors ? 4 : 1) * products
                printf "" > file
                for (i = first; i < n; i++) { sub(/<.*/, "", text[i]); print text[i] > file }
                close(file)
            }'
    local file products
    for file in "$scratch/$3"-*; do
        if [[ $3 == cortex-m55 && $file == *-fpu-* ]]; then continue; fi
        products=${file##*-}
        llvm-mca-22 -mtriple="$2-none-eabihf" -mcpu="$3" -iterations=100 "$file" 2>/dev/null |
            awk -v name="${file##*/}" -v n="$(($(wc -l <"$file") + 1))" -v products="$products" '
                /^Total Cycles/ { cycles = $3 / 100 }
                /^Block RThroughput/ { limit = $3 }
                END { printf "| %s | %d | %d | %.2f | %.1f | %.1f |\n", name, n, products, n / products, limit, cycles }'
    done
}

# sizes FIRMWARE: bytes of code by crate; what was inlined counts for where it went.
sizes() {
    llvm-nm-22 -S --defined-only --radix=d "$CARGO_TARGET_DIR/thumbv7em-none-eabihf/release/$1" | awk '
        $3 !~ /^[tT]$/ || $1 in seen { next }
        {
            seen[$1] = 1
            name = "core, libm, compiler_builtins, start-up"
            if ($4 ~ /pocketgan_finetune/) name = "pocketgan-finetune"
            if ($4 ~ /pocketgan_format/) name = "pocketgan-format"
            if ($4 ~ /pocketgan_runtime/) name = "pocketgan-runtime"
            if ($4 ~ /pocketgan_kernels/) name = "pocketgan-kernels"
            if ($4 ~ /boards_common|boards_arm|mps2_an386|least_learn|cortex_m_rt_main|cortex_m_semihosting/) name = "main, and what was inlined there"
            bytes[name] += $2
            bytes["~ together"] += $2
        }
        END { for (name in bytes) printf "%s|%d\n", name, bytes[name] }' | sort
}

main
