#!/usr/bin/env bash
# The one test command: tests/run.sh [host|cross|boards|kits|web|fuzz|all]
#
#   host    format, lints, documentation, tests, and the main job as a user runs it
#   cross   what firmware and pages depend on, checked for every target and linked for two; kernels on 64-bit ARM
#   boards  firmware in QEMU, and what it takes
#   kits    firmware for boards that nothing emulates: compiled and linked
#   web     the WebAssembly modules in node, the kernels' tests in WebAssembly, and the demo page in Chromium
#   fuzz    hostile models, deltas and ONNX files, for FUZZ_SECONDS (60) each
#
# Installs what is missing with apt-get or cargo where it may, and says so where it may not. Builds in CARGO_TARGET_DIR,
# or in target/.
set -euo pipefail

# shellcheck source=tests/toolchain.sh
source "$(dirname "${BASH_SOURCE[0]}")/toolchain.sh"

main() {
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    local parts=("${1:-all}")
    case ${parts[0]} in
        all) parts=(host cross boards kits web fuzz) ;;
        host | cross | boards | kits | web | fuzz) ;;
        *)
            sed -n '2,9s/^# \{0,1\}//p' tests/run.sh
            exit 2
            ;;
    esac
    mkdir -p "${CARGO_TARGET_DIR:=target}"
    CARGO_TARGET_DIR=$(cd "$CARGO_TARGET_DIR" && pwd)
    export CARGO_TARGET_DIR
    # Nothing is built twice here, and what the next build would reuse fills gigabytes.
    export CARGO_INCREMENTAL=0
    scratch=$(mktemp -d)
    part=start passed=() skipped=()
    trap finish EXIT
    for part in "${parts[@]}"; do
        local start=$SECONDS skips=${#skipped[@]}
        echo "== $part"
        rm -f "$scratch/weights"
        "part_$part"
        if ((${#skipped[@]} == skips)); then passed+=("$part"); fi
        echo "== $part: $((SECONDS - start)) s"
    done
    part=
}

# The closing lines, also after a failure or Ctrl-C, whose status is 0 here.
finish() {
    local status=$? job
    for job in $(jobs -p); do kill -- "-$job" 2>/dev/null || true; done
    rm -rf "$scratch"
    if [[ -n $part ]]; then
        echo "FAILED: $part after $SECONDS s"
        exit $((status ? status : 130))
    fi
    local reason
    for reason in "${skipped[@]}"; do echo "skipped: $reason"; done
    if ((${#passed[@]} == 0)); then
        echo "FAILED: nothing ran to its end"
        exit 1
    fi
    echo "passed: ${passed[*]} in $SECONDS s"
}

part_host() {
    step cargo fmt --all --check
    step cargo fmt --all --check --manifest-path boards/Cargo.toml
    step cargo fmt --all --check --manifest-path tests/fuzz/Cargo.toml
    local kit
    for kit in rp2350 stm32f746 nrf52840 esp32c6; do step cargo fmt --check --manifest-path "boards/$kit/Cargo.toml"; done

    # As released: build scripts and macros of the dependencies are then those that the tests below need.
    step cargo clippy --locked --release --workspace --all-targets --features pocketgan-runtime/graphics -- -D warnings
    # One at a time, so that the host's `std` does not reach the firmware.
    local package
    for package in boards-arm boards-build boards-common host kernel-suite linux-fb microbit mps2-an386 \
        mps2-an500 mps3-an547 netduinoplus2 web; do
        step cargo clippy --locked --manifest-path boards/Cargo.toml -p "$package" -- -D warnings
    done
    step cargo clippy --locked --manifest-path boards/Cargo.toml -p web --all-targets --features full -- -D warnings
    RUSTDOCFLAGS=-Dwarnings step cargo doc --locked --release --workspace --features pocketgan-runtime/graphics --no-deps

    # The crates that firmware depends on with all checks of a debug build; the others as released, since building their
    # dependencies a second time would take longer than all tests.
    step cargo test --locked -p pocketgan-format -p pocketgan-kernels -p pocketgan-runtime --all-features
    step cargo test --locked -p pocketgan-finetune --features std
    onnx_cases
    step cargo test --locked --release -p pocketgan-compiler -p pocketgan-trainer -p pocketgan-tests
    step cargo test --locked --manifest-path boards/Cargo.toml -p boards-common -p boards-build -p host \
        -p linux-fb --all-features
    demo
}

# The main job with few steps: the same code and the same files, with pictures of noise.
demo() {
    local out=$scratch/demo json key
    step cargo run --locked --release -- demo --steps 20 --out "$out" --json | tee "$scratch/demo.out"
    json=$(tail -n 1 "$scratch/demo.out")
    for key in flash_bytes arena_bytes ms_per_image max_abs_diff_f16_weights mean_abs_diff max_u8_diff \
        share_u8_changed seconds images; do
        [[ $json == *"\"$key\":"* ]] || die "demo --json has no $key: $json"
    done
    # Parity: 1e-4 with the same rounded weights, 2 of 255 levels against the network before rounding.
    at_most "$json" max_abs_diff_f16_weights 1e-4
    at_most "$json" max_u8_diff 2
    find "$out" -name '*.pgan' -size +0 | grep -q . || die "demo wrote no .pgan"
    find "$out" -name '*.html' -size +0 | grep -q . || die "demo wrote no page"
}

# The official cases of the ONNX operators, fetched once into the user's cache: sets POCKETGAN_ONNX_CASES. Their test says
# `skipped` without.
onnx_cases() {
    local version=1.22.0 sum=1d0a2bdb15eb2b3cb65c438f3423d9620d14fdce32f92380e6bb1b2e09568ef5
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/pocketgan/onnx-$version wheel
    [[ -z ${POCKETGAN_ONNX_CASES:-} ]] || return 0
    if [[ ! -d $cache ]]; then
        if ! timeout 300 python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
            --python-version 311 --platform manylinux_2_28_x86_64 --dest "$scratch/onnx" "onnx==$version"; then
            echo "skipped: onnx $version, which holds the official cases, cannot be fetched"
            return 0
        fi
        wheel=$(echo "$scratch"/onnx/onnx-*.whl)
        sha256sum --check --quiet <<<"$sum  $wheel" || die "$wheel is not the file that was expected"
        mkdir -p "${cache%/*}"
        python3 -m zipfile -e "$wheel" "$cache.new"
        mv "$cache.new" "$cache"
    fi
    export POCKETGAN_ONNX_CASES=$cache/onnx/backend/test/data
}

# at_most JSON KEY LIMIT: the number under KEY is in 0..=LIMIT.
at_most() {
    local value
    value=$(sed -n "s/.*\"$2\": *\([-+0-9.eE]*\).*/\1/p" <<<"$1")
    awk -v value="$value" -v limit="$3" 'BEGIN { exit !(value != "" && value >= 0 && value + 0 <= limit + 0) }' ||
        die "$2 is '$value', more than $3"
}

part_cross() {
    has_cross_compiler || return 0
    local target
    for target in thumbv6m-none-eabi riscv32imafc-unknown-none-elf aarch64-unknown-none; do
        on_target "$target" . check --locked -p pocketgan-runtime -p pocketgan-finetune \
            --features pocketgan-runtime/graphics
    done
    on_target thumbv7em-none-eabihf boards/mps2-an386 build --locked --release
    on_target wasm32-unknown-unknown boards/web build --locked --release
    has_aarch64_linux || return 0
    # Without the sweeps of elementwise functions, which are the same code everywhere and take minutes in an emulator, and
    # without the measure of speed, which has none there.
    on_target "$aarch64" . test --locked -p pocketgan-kernels --lib -- --skip within --skip peak
    on_target "$aarch64" boards build --locked --release -p host -p linux-fb
    drawing aarch64 aarch64_program host "$model"
    aarch64_program linux-fb --model "$model" --png "$scratch/aarch64.png"
    same_screen aarch64
}

part_boards() {
    has_cross_compiler || return 0
    drawing host host_board
    learning host host_console
    if has qemu-system-arm qemu-system-arm; then
        board mps2-an386 thumbv7em-none-eabihf
        board mps2-an500 thumbv7em-none-eabihf
        board mps3-an547 thumbv8m.main-none-eabihf
        board netduinoplus2 thumbv7em-none-eabihf
        board microbit thumbv6m-none-eabi models/mnist-micro/mnist-micro.pgan
        learning_board mps2-an386 thumbv7em-none-eabihf
        learning_board mps3-an547 thumbv8m.main-none-eabihf
        learning_board netduinoplus2 thumbv7em-none-eabihf
        suite thumbv7em-none-eabihf mps2-an386 mps2-an500
        suite thumbv8m.main-none-eabihf mps3-an547
        suite thumbv6m-none-eabi mps2-an385
    fi
    linux_fb
    same_screen host
    if has qemu-system-aarch64 qemu-system-arm; then
        screen_board raspi3b -M raspi3b
        screen_board aarch64-virt -M virt -cpu cortex-a72 -device ramfb -net none
    fi
    if has qemu-system-riscv32 qemu-system-misc; then
        board riscv32-virt riscv32imafc-unknown-none-elf
        suite riscv32imafc-unknown-none-elf virt
        learned riscv32imafc-unknown-none-elf virt
    fi
    grep '^|' tests/budgets.md | head -n 2 | cat - "$scratch/weights"
    head -c 300000 /dev/zero >"$scratch/large.pgan"
    refused microbit thumbv6m-none-eabi "$scratch/large.pgan" 'has 300000 bytes, and FLASH of memory.x 262144'
    refused microbit thumbv6m-none-eabi "$PWD/$model" 'has 75264 bytes, and RAM of memory.x 9728'
    panics thumbv7em-none-eabihf mps2-an386
}

# suite TARGET MACHINES...: the kernels' suite in firmware.
suite() {
    local target=$1 machine
    shift
    on_target "$target" boards/kernel-suite build --locked --release --bin suite
    for machine in "$@"; do
        step timeout 120 boards/kernel-suite/emulate.sh "$machine" "$CARGO_TARGET_DIR/$target/release/suite" |
            sed "s/^/$machine: /" || die "the kernels are wrong on $machine"
    done
}

part_kits() {
    has_cross_compiler || return 0
    kit rp2350 thumbv8m.main-none-eabihf
    host_tool uf2 "$CARGO_TARGET_DIR/thumbv8m.main-none-eabihf/release/rp2350" "$scratch/rp2350.uf2"
    kit stm32f746 thumbv7em-none-eabihf
    kit nrf52840 thumbv7em-none-eabihf
    kit esp32c6 riscv32imac-unknown-none-elf
    grep '^|' tests/budgets.md | head -n 2 | cat - "$scratch/weights"
}

# kit NAME TARGET: a board that nothing emulates.
kit() {
    on_target "$2" "boards/$1" build --locked --release
    weigh "$1" "$CARGO_TARGET_DIR/$2/release/$1" "$model" /dev/null
}

part_web() {
    has_cross_compiler || return 0
    has node nodejs || return 0
    host_board "$scratch/values" </dev/null >/dev/null
    mkdir "$scratch/modules"
    local node=(node)
    web_modules simd simd128
    # Up to node 20 behind an option, which later ones do not know.
    has_relaxed_simd || node+=(--experimental-wasm-relaxed-simd)
    has_relaxed_simd || { skip "this node has no relaxed SIMD" && node=(); }
    web_modules relaxed relaxed-simd --config relaxed.toml
    page
}

has_relaxed_simd() {
    "${node[@]}" --input-type=module 2>/dev/null -e '
        import { hasRelaxedSimd } from "./boards/web/pkg/engine.js";
        process.exit(hasRelaxedSimd() ? 0 : 1);'
}

# web_modules KIND KERNELS OPTIONS...: builds the module that draws, the one that learns, and the kernels' tests, and runs
# them where there is a node that can.
web_modules() {
    local kind=$1 kernels=$2 out=$CARGO_TARGET_DIR/wasm32-unknown-unknown/release
    shift 2
    web_module "pocketgan-$kind" "$model" "$@"
    web_module "pocketgan-full-$kind" "${model%.pgan}-tail.pgan" "$@" --features full
    ((${#node[@]} > 0)) || return 0
    local library=std
    on_target wasm32-unknown-unknown boards/web build --locked --release "$@" --config suite.toml --example suite
    step "${node[@]}" boards/web/tests/suite.mjs "$out/examples/suite.wasm" "$kernels"
}

# web_module NAME MODEL OPTIONS...: builds one, and compares what it draws with the host.
web_module() {
    local name=$1 file=$2
    shift 2
    on_target wasm32-unknown-unknown boards/web build --locked --release "$@"
    cp "$CARGO_TARGET_DIR/wasm32-unknown-unknown/release/web.wasm" "$scratch/modules/$name.wasm"
    ((${#node[@]} == 0)) ||
        step "${node[@]}" boards/web/tests/smoke.mjs "$scratch/modules/$name.wasm" "$file" "$scratch/values"
}

# The demo page and the package, as a person uses them.
page() {
    local tools=$CARGO_TARGET_DIR/tools/web expected=$scratch/expected
    has chromium chromium || return 0
    has npm npm || return 0
    if ! cmp -s boards/web/tests/package.json "$tools/package.json"; then
        mkdir -p "$tools"
        cp boards/web/tests/package.json "$tools"
        step npm --prefix "$tools" install --no-package-lock --no-audit --no-fund --loglevel error >&2 ||
            { rm "$tools/package.json" && skip "npm cannot install what drives the browser" && return; }
    fi
    mkdir "$expected"
    local folder=models conditional=tests/fuzz/corpus/load/attention.pgan
    page_pixels "$folder/mnist-dcgan28/mnist-dcgan28-tail.pgan" "$expected/digits" 128
    page_pixels "$folder/fashion-mnist-dcgan28/fashion-mnist-dcgan28.pgan" "$expected/fashion" 128
    page_pixels "$conditional" "$expected/class0" 64
    page_pixels "$conditional" "$expected/class2" 64 2
    export WASM_OPT=$tools/node_modules/.bin/wasm-opt
    MODULES=$scratch/modules step boards/web/build.sh "$scratch/page"
    CHROMIUM=$(command -v chromium) step timeout 400 node boards/web/tests/page.mjs "$scratch/page" "$tools" "$expected"
}

# page_pixels MODEL OUT COUNT [CLASS]: what the page must show, from this computer's runtime.
page_pixels() {
    step cargo run --quiet --locked --release --manifest-path boards/Cargo.toml -p web --example pixels -- "$@"
}

part_fuzz() {
    local tools=$CARGO_TARGET_DIR/tools host=x86_64-unknown-linux-gnu
    [[ $(rustc -vV) == *"host: $host"* ]] || { skip "the sanitizers are set up for $host only" && return; }
    has c++ g++ || return 0
    PATH=$tools/bin:$PATH
    if ! command -v cargo-fuzz >/dev/null; then
        step cargo install --quiet --locked --debug --version 0.13.2 --root "$tools" --target-dir "$tools/build" cargo-fuzz ||
            { skip "cargo-fuzz cannot be installed" && return; }
        rm -rf "$tools/build"
    fi
    step cargo clippy --locked --manifest-path tests/fuzz/Cargo.toml -- -D warnings
    # Side by side, since each takes one core; the second waits for what both are built of. The first has a process group
    # of its own, by which it is stopped when the second fails.
    set -m
    fuzz load address tests/fuzz/corpus/load &
    set +m
    fuzz delta address tests/fuzz/corpus/delta
    wait $!
    onnx_cases
    # Without a sanitizer: the importer has no unsafe code, and tract would take twice as long to compile.
    fuzz import none tests/fuzz/corpus/import "$(small_onnx_cases)" --features import
}

# small_onnx_cases: the official cases of less than 4 KiB in one folder, none where they cannot be had.
small_onnx_cases() {
    local seeds=$scratch/onnx-cases model
    mkdir "$seeds"
    [[ -z ${POCKETGAN_ONNX_CASES:-} ]] || find "$POCKETGAN_ONNX_CASES/node" -name model.onnx -size -8 |
        while read -r model; do cp "$model" "$seeds/$(basename "${model%/*}").onnx"; done
    echo "$seeds"
}

# fuzz TARGET SANITIZER SEEDS [SEEDS] [CARGO-FUZZ OPTIONS...]: looks for an input that breaks a target.
fuzz() {
    local target=$1 sanitizer=$2 seeds=() options=()
    shift 2
    while [[ $# != 0 && $1 != --* ]]; do seeds+=("$1") && shift; done
    options=(--fuzz-dir tests/fuzz --target-dir "$CARGO_TARGET_DIR/fuzz-$sanitizer" --target x86_64-unknown-linux-gnu)
    mkdir "$scratch/$target"
    # New files go to the first folder; the others only seed it. The instrumentation comes with every toolchain, unstable
    # in all of them.
    RUSTC_BOOTSTRAP=1 step cargo fuzz run --sanitizer "$sanitizer" "${options[@]}" "$@" "$target" \
        "$scratch/$target" "${seeds[@]}" -- -max_total_time="${FUZZ_SECONDS:-60}" -max_len=65536 -timeout=10 \
        -print_final_stats=1 2>"$scratch/$target.log" ||
        {
            # The finding itself once more: cargo-fuzz adds a long backtrace of its own.
            tail -n 60 "$scratch/$target.log"
            grep -E 'panicked at|^==.*ERROR|^SUMMARY|^Base64|^error' -A 1 "$scratch/$target.log" || true
            die "the fuzzer found an input that breaks $target"
        }
    sed -nE "s/^(Done|stat::)/$target: &/p" "$scratch/$target.log"
}

# What the boards and the page run.
model=models/mnist-dcgan28/mnist-dcgan28.pgan

# host_board [VALUES]: this computer as a board.
host_board() {
    step cargo run --quiet --locked --release --manifest-path boards/Cargo.toml -p host --bin host -- "$model" "$@"
}

# aarch64_program NAME ARGS...: a program for 64-bit ARM Linux.
aarch64_program() {
    local name=$1
    shift
    "$CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER" "$CARGO_TARGET_DIR/$aarch64/release/$name" "$@"
}

# board NAME TARGET [MODEL]: a board that an emulator runs.
board() {
    local elf=$CARGO_TARGET_DIR/$2/release/$1
    on_target "$2" "boards/$1" build --locked --release --bin "$1"
    drawing "$1" emulate "$1" "$elf" "$scratch"
    weigh "$1" "$elf" "${3:-$model}" "$scratch/$1.out"
}

# screen_board NAME QEMU-OPTIONS...: a board with a framebuffer, which says what every board says and shows pictures.
screen_board() {
    local name=$1 target=aarch64-unknown-none
    local elf=$CARGO_TARGET_DIR/$target/release/$name
    shift
    on_target "$target" "boards/$name" build --locked --release
    : >"$scratch/$name.out"
    take_picture "$name" | timeout 120 qemu-system-aarch64 "$@" -icount shift=0 -display none -monitor stdio \
        -serial "file:$scratch/$name.out" -kernel "$elf" >"$scratch/$name.monitor" ||
        die "$name does not run: $(tail -n 3 "$scratch/$name.monitor")"
    expect boards/raspi3b/expected.out '^time: \|^memory: ' "$scratch/$name.out" || die "$name draws something else"
    same_screen "$name"
    weigh "$name" "$elf" "$model" "$scratch/$name.out"
}

# take_picture NAME: tells the monitor of an emulator to take a picture of the screen, once the board has said everything.
take_picture() {
    local deadline=$((SECONDS + 60))
    until grep -qE '^(time: .* image|error: .*)$' "$scratch/$1.out" || ((SECONDS > deadline)); do sleep 0.1; done
    printf '%s\n' "screendump $scratch/$1.png -f png" quit
}

# linux_fb: the same pictures in a file.
linux_fb() {
    step cargo run --quiet --locked --release --manifest-path boards/Cargo.toml -p linux-fb --bin linux-fb -- \
        --model "$model" --png "$scratch/host.png"
}

# same_screen NAME: the screen has every pixel that every screen of its size has.
same_screen() {
    cargo run --quiet --locked --release --manifest-path boards/Cargo.toml -p linux-fb --bin compare -- \
        boards/raspi3b/expected.png "$scratch/$1.png" || die "$1 shows something else"
    echo "$1: shows what is expected"
}

# learning_board NAME TARGET: a board that learns.
learning_board() {
    local elf=$CARGO_TARGET_DIR/$2/release/$1-learn
    on_target "$2" "boards/$1" build --locked --release --bin "$1-learn"
    learning "$1" emulate "$1" "$elf"
    weigh "$1-learn" "$elf" "${model%.pgan}-tail.pgan" "$scratch/$1-learn.out"
}

# weigh NAME ELF MODEL SAID: adds what a firmware takes to a table, if that is within its budget.
weigh() {
    host_tool weigh tests/budgets.md "$@" >>"$scratch/weights" || die "$1 takes too much"
}

# refused BOARD TARGET MODEL REASON: building for a board says why a model does not fit.
refused() {
    local said
    if said=$(POCKETGAN_MODEL=$3 on_target "$2" "boards/$1" build --locked --release --bin "$1" 2>&1); then
        die "$1 has no room for $3, and was built"
    fi
    [[ $said == *"$4"* ]] || die "$1 does not say that $3 $4: $said"
}

# panics TARGET BOARD: the least firmware panics nowhere but where it is known why it does not; and nothing is known of a
# firmware without a list.
panics() {
    local elf=$CARGO_TARGET_DIR/$1/release/least
    on_target "$1" "boards/$2" build --locked --release --bin least
    host_tool panics "$elf" tests/panics.txt || die "the least firmware may panic"
    if host_tool panics "$elf" /dev/null >/dev/null 2>&1; then die "the list of panics has no effect"; fi
}

# host_tool NAME ARGS...
host_tool() {
    local name=$1
    shift
    cargo run --quiet --locked --release --manifest-path boards/Cargo.toml -p host --bin "$name" -- "$@"
}

# drawing NAME COMMAND...: a console draws, the same on every board with the same model; times and memory apart. What is
# expected is written anew where POCKETGAN_REWRITE is set.
drawing() {
    local name=$1 expected=boards/$1/expected.out
    shift
    [[ -e $expected ]] || expected=boards/mps2-an386/expected.out
    drawing_session | talk "$scratch/$name" "$@"
    expect "$expected" '^\(time\|memory\): ' "$scratch/$name.out" || die "$name draws something else"
    echo "$name: as expected; $(grep -m 1 '^time: ' "$scratch/$name.out"); $(grep '^memory: ' "$scratch/$name.out")"
}

# expect FILE PATTERN OUTPUT: the output, without lines of the pattern, is what the file says.
expect() {
    if [[ -n ${POCKETGAN_REWRITE:-} ]]; then grep -v "$2" "$3" >"$1"; fi
    grep -v "$2" "$3" | diff "$1" -
}

# What is said to a console that draws.
drawing_session() {
    printf '%s\n' info 'seed 3' exact 'walk 3 4 3' 'walk 1 2' 'label 1' 'learn 1' nonsense fast 'bench 2' exit
}

# learning NAME COMMAND...: a console learns, is switched off, and draws what it has learned: the same bits on every board.
learning() {
    local name=$1 folder=$scratch/$1-learn
    shift
    mkdir "$folder"
    head -c $((3 * 784)) boards/common/examples/bold-digits.raw >"$folder/examples.raw"
    first_session | talk "$folder" "$@" "$folder"
    second_session | talk "$folder" "$@" "$folder"
    expect boards/mps2-an386/expected-learning.out '^memory: ' "$folder.out" || die "$name learns something else"
    echo "$name: learns as expected; $(grep '^memory: ' "$folder.out")"
}

# What is said to a console.
first_session() { printf '%s\n' exact 'plan small' 'seed 3' 'learn 32' loss save 'seed 3' 'learn 1' revert memory exit; }

# The same after the power was off: two examples, the second of which arrives only once noise is over.
second_session() {
    local len=784
    head -c $((2 * len)) boards/common/examples/bold-digits.raw >"$scratch/examples"
    host_tool frames "$scratch/examples" "$len" >"$scratch/frames"
    printf '%s\n' exact 'seed 3' examples 'example file' examples 'example 2'
    head -c 1000 "$scratch/frames"
    printf 'noise\0'
    cat "$scratch/frames"
    printf '%s\n' examples revert 'seed 3' factory exit
}

# talk NAME COMMAND...: runs a console, adds what it says to NAME.out, and tells it what comes on standard input, once it
# speaks: a serial line that is not switched on yet would lose it.
talk() {
    local out=$1.out said=$1.said console
    shift
    rm -f "$scratch/line"
    mkfifo "$scratch/line"
    "$@" <"$scratch/line" >"$said" &
    console=$!
    exec 3>"$scratch/line"
    until grep -q '^drawing' "$said" || ! kill -0 "$console" 2>/dev/null; do sleep 0.1; done
    cat >&3
    exec 3>&-
    wait "$console" || die "the console failed: $(tail -n 3 "$said")"
    cat "$said" >>"$out"
}

# emulate BOARD ELF FOLDER: a board with its serial line on standard input and output, and its flash in a folder.
emulate() {
    local options=(-nographic -monitor none -serial stdio -icount shift=0 -kernel "$2")
    cd "$3"
    case $1 in
        riscv32-virt) exec timeout 120 qemu-system-riscv32 -M virt -bios none "${options[@]}" ;;
        *) exec timeout 120 qemu-system-arm -M "$1" -semihosting-config enable=on,target=native "${options[@]}" ;;
    esac
}

# learned TARGET MACHINE: the bits of `learn 32` on a machine without a console.
learned() {
    on_target "$1" boards/kernel-suite build --locked --release --bin learn
    local said
    said=$(timeout 240 boards/kernel-suite/emulate.sh "$2" "$CARGO_TARGET_DIR/$1/release/learn") || die "$2 does not learn: $said"
    grep -qxF "$said" boards/mps2-an386/expected-learning.out || die "$2 learns something else: $said"
    echo "$2: $said, as the others"
}

# host_console FOLDER: this computer as a board that learns.
host_console() {
    exec cargo run --quiet --locked --release --manifest-path boards/Cargo.toml -p host --bin console -- \
        "${model%.pgan}-tail.pgan" "$1/learned.flash" boards/common/examples/bold-digits.raw small
}

step() {
    echo "+ $*" >&2
    "$@"
}

skip() {
    skipped+=("$part: $1")
    echo "skipped: $1"
}

die() {
    echo "error: $1" >&2
    exit 1
}

main "$@"
