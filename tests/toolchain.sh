# Compilers, targets and packages, for tests/run.sh: what a machine has, and what is installed where it may be.

# on_target TARGET FOLDER COMMAND ARGS...: cargo for another target, with the standard library that the toolchain has,
# or one built by Debian's compiler: of that `core`, or what `$library` says. Warnings are errors.
on_target() {
    local target=$1 folder=$2 command=$3 flags="'-Dwarnings'" rustc sysroot library=${library:-core}
    shift 3
    if has_std "$target"; then
        rustc=rustc
    elif [[ -d /usr/lib/rustlib/$target ]]; then
        rustc=/usr/bin/rustc
    else
        rustc=/usr/bin/rustc
        sysroot=$CARGO_TARGET_DIR/sysroot/$("$rustc" --version | cut -d ' ' -f 2)
        if [[ $library != core ]]; then sysroot+=-$library; fi
        build_library "$target" "$sysroot" "$library" >&2
        flags+=", '--sysroot=$sysroot'"
    fi
    (
        cd "$folder"
        export RUSTC=$rustc
        # `--config` adds to the board's own flags; RUSTFLAGS would replace them.
        [[ $target != "$aarch64" ]] || flags+=", '-Ctarget-feature=+crt-static'"
        step timeout 900 cargo "$command" --target "$target" --config "target.$target.rustflags=[$flags]" "$@"
    )
}

# Whether there is a way to build for other targets: rustup's, or Debian's second compiler.
has_cross_compiler() {
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    has_std thumbv7em-none-eabihf || has_debian_compiler
}

# Whether the toolchain has the standard library of a target, after asking rustup for it. POCKETGAN_CROSS=debian says no.
has_std() {
    [[ ${POCKETGAN_CROSS:-} != debian ]] || return 1
    [[ ! -d $(rustc --print target-libdir --target "$1") ]] || return 0
    command -v rustup >/dev/null || return 1
    timeout 120 rustup target add "$1" >&2 && return
    # No use in waiting for it again.
    POCKETGAN_CROSS=debian
    return 1
}

# Whether programs for 64-bit ARM Linux can be built and run here; says how to cargo. Linked statically, so that they need
# no loader and no library of that system.
has_aarch64_linux() {
    has qemu-aarch64 qemu-user || return 1
    has aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross || return 1
    has_std "$aarch64" || has_debian_aarch64 || return 1
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64
}
aarch64=aarch64-unknown-linux-gnu

# Whether Debian's second compiler has the standard library of 64-bit ARM Linux, after asking for it.
has_debian_aarch64() {
    has_debian_compiler || return 1
    [[ ! -d /usr/lib/rustlib/$aarch64 ]] || return 0
    local sudo=()
    if [[ $(id -u) != 0 ]]; then sudo=(sudo -n); fi
    "${sudo[@]}" dpkg --add-architecture arm64 && "${sudo[@]}" apt-get update -qq >&2 &&
        "${sudo[@]}" apt-get install -qq -y --no-install-recommends libstd-rust-web-dev:arm64 >&2 ||
        { skip "the standard library of $aarch64 cannot be installed" && return 1; }
}

has_debian_compiler() {
    [[ -x /usr/bin/rust-lld && -d /usr/lib/rustlib/src/rust/library/core ]] ||
        has rust-lld rustc-web rust-web-src rust-web-llvm lld-22 llvm-22
}

# build_library TARGET SYSROOT LIBRARY: `core`, once, and `alloc`, which only the kernels' suite names; or `std`.
build_library() {
    local lib=$2/lib/rustlib/$1/lib work=$scratch/$3-$1 crates=core,alloc,compiler_builtins
    if [[ $3 == std ]]; then crates=std,panic_abort; fi
    [[ ! -d $lib ]] || return 0
    mkdir -p "$work/src"
    echo '#![no_std]' >"$work/src/lib.rs"
    cat >"$work/Cargo.toml" <<'END'
[package]
name = "library-builder"
edition = "2024"
[workspace]
# Bitcode in the libraries, for boards that link with lto.
[profile.release]
lto = true
panic = "abort"
END
    (
        cd "$work"
        export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
        step cargo build --quiet --release -Zbuild-std=$crates --target "$1" --target-dir build
    )
    mkdir -p "$lib.new"
    cp "$work/build/$1/release/deps"/lib*.r{lib,meta} "$lib.new"
    rm "$lib.new"/liblibrary_builder-*
    mv "$lib.new" "$lib"
}

# has PROGRAM PACKAGES...: whether the program is there, after installing the packages where this user may.
has() {
    local program=$1 sudo=()
    shift
    ! command -v "$program" >/dev/null || return 0
    if [[ $(id -u) != 0 ]]; then sudo=(sudo -n); fi
    if ! command -v apt-get >/dev/null || ! "${sudo[@]}" true 2>/dev/null; then
        skip "$program is missing, and this user may not install packages: apt-get install $*"
        return 1
    fi
    echo "installing $*" >&2
    "${sudo[@]}" apt-get update -qq >&2 &&
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >&2 ||
        die "apt-get could not install $*"
    command -v "$program" >/dev/null || die "$* came without $program"
}
