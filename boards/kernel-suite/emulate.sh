#!/bin/sh
# emulate.sh MACHINE ELF: runs firmware in QEMU; MACHINE in the environment takes the place of the first.
set -eu
machine=${MACHINE:-$1}
case $machine in
    virt) exec qemu-system-riscv32 -M virt -bios none -nographic -monitor none -icount shift=0 -kernel "$2" ;;
    *)
        exec qemu-system-arm -M "$machine" -nographic -monitor none -serial none -icount shift=0 \
            -semihosting-config enable=on,target=native -kernel "$2"
        ;;
esac
