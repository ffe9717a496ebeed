#!/bin/sh
# Every fuzz target for S seconds from its kept corpus, with ASan and UBSan. New inputs go to a scratch corpus, never into
# the tree; a finding is kept beside the log and fails the run. Ends in a table.
set -u
cd "$(dirname "$0")/../.."
seconds=${1:-30}
out=build-fuzz
mkdir -p "$out/obj"
flags="-std=gnu11 -D_GNU_SOURCE -I. -O1 -g -fno-omit-frame-pointer"
sanitize="-fsanitize=address,undefined -fno-sanitize-recover=undefined"
libs="$(pkg-config --libs mseed openblas jansson yaml-0.1 libuv libsystemd) -lm -lpthread"
failed=0

# Objects once: what a target links is the library it tests, not the program.
for source in core/*.c daemon/*.c; do
    [ "$source" = daemon/main.c ] && continue
    object=$out/obj/$(echo "$source" | tr / _).o
    [ "$object" -nt "$source" ] && continue
    set=
    [ "$(uname -m)" = x86_64 ] && case $source in
        core/kernels_avx2.c) set='-mavx2 -mfma' ;;
        core/kernels_avx512.c) set='-mavx512f -mavx512dq -mavx512vl -mfma' ;;
        core/kernels.c) set=-DTOC_KERNELS_X86 ;;
    esac
    # shellcheck disable=SC2086
    clang $flags $set $sanitize -fsanitize=fuzzer-no-link -c "$source" -o "$object" || exit 1
done
rm -f "$out/libtocsin.a"
ar rcs "$out/libtocsin.a" "$out"/obj/*.o

for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    kind=${name#fuzz_}
    # shellcheck disable=SC2086
    clang $flags $sanitize -fsanitize=fuzzer "$source" "$out/libtocsin.a" $libs -o "$out/$name" || exit 1
    mkdir -p "$out/corpus-$kind"
    set -- "$out/corpus-$kind"
    [ -d "tests/fuzz/corpus/$kind" ] && set -- "$@" "tests/fuzz/corpus/$kind"
    [ -f "tests/fuzz/$kind.dict" ] && set -- "-dict=tests/fuzz/$kind.dict" "$@"
    OPENBLAS_NUM_THREADS=1 "$out/$name" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=20 -max_len=70000 \
        -artifact_prefix="$out/$kind-" -print_final_stats=1 "$@" >"$out/$name.log" 2>&1
    code=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$name.log")
    if [ $code -eq 0 ]; then verdict=clean; else verdict="FINDING ($out/$name.log)"; failed=$((failed + 1)); tail -n 30 "$out/$name.log"; fi
    printf 'fuzz %-10s %10s runs in %s s  %s\n' "$kind" "${runs:-?}" "$seconds" "$verdict"
done
total=$(ls tests/fuzz/fuzz_*.c | wc -l)
echo "$((total - failed)) passed, $failed failed"
[ $failed -eq 0 ]
