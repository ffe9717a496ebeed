#!/bin/sh
# Who may include whom (core/README.md has the table). Reads the include lines and fails on the first wrong one. The
# order inside core is the pipeline's: a stage never includes a later one.
set -eu
cd "${TOCSIN_SOURCE:-$(dirname "$0")/../..}"
bad=0

say() { printf '%s\n' "$*"; bad=1; }

# file, allowed pattern for <...>, allowed pattern for "..."
layer() {
    angled=$(sed -nE 's/^[ \t]*#[ \t]*include[ \t]*<([^>]+)>.*/\1/p' "$1")
    quoted=$(sed -nE 's/^[ \t]*#[ \t]*include[ \t]*"([^"]+)".*/\1/p' "$1")
    for h in $angled; do printf '%s\n' "$h" | grep -qE "^($2)$" || say "$1: must not include <$h>"; done
    for h in $quoted; do printf '%s\n' "$h" | grep -qE "^($3)$" || say "$1: must not include \"$h\""; done
}

libc='assert|ctype|errno|float|inttypes|limits|math|stdalign|stdarg|stdbool|stddef|stdint|stdio|stdlib|string|strings'
for f in core/*.[ch]; do
    extra=
    case $f in
        core/kernels_avx2.c|core/kernels_avx512.c) extra='|immintrin' ;;
        core/nn.c) extra='|cblas|openblas_config' ;;
        core/model.c | core/description.c | core/manifest.c) extra='|jansson' ;;
    esac
    layer "$f" "($libc$extra)\.h" 'core/[a-z0-9_]+\.h'
done
for f in daemon/*.[ch] daemon/cli/*.[ch]; do
    case $(sed -nE 's/^[ \t]*#[ \t]*include[ \t]*<([^>]+)>.*/\1/p' "$f") in
        *libmseed.h*|*cblas.h*) say "$f: libmseed belongs to the tests, cblas to core" ;;
    esac
    layer "$f" '.*' '(core|daemon)/([a-z0-9_]+/)?[a-z0-9_]+\.h'
done
for f in models/*.c models/train/*/*.c; do
    layer "$f" "($libc|dirent|sys/stat|unistd|fcntl)\.h" 'core/[a-z0-9_]+\.h'
done

# A stage never includes a later one. kernels_*, net_*, domain_*, window_*, listen_* and pipeline_* are rooms of one stage.
order='types nstime settings stats due turns load geo travel station route payload decode slink ring lanes filter window gate
       group kernels nn rows image attention layer graph digest description manifest tensors weights plan net
       model contract picker second classic polarity pparam domain estimator seats shadow listen locate nucleate associator
       fusion shaking alert pipeline'
rank() {
    stage=$1; n=0
    case $1 in kernels_*|net_*|domain_*|window_*|listen_*|pipeline_*) stage=${1%%_*} ;; esac
    for s in $order; do n=$((n + 1)); [ "$s" = "$stage" ] && { echo $n; return; }; done
    echo 0
}
for f in core/*.[ch]; do
    own=$(rank "$(basename "$f" | sed 's/\..*//')")
    [ "$own" -gt 0 ] || say "$f: not in the order of stages (tests/house/includes.sh, core/README.md)"
    for h in $(sed -nE 's/^[ \t]*#[ \t]*include[ \t]*"core\/([a-z0-9_]+)\.h".*/\1/p' "$f"); do
        [ "$(rank "$h")" -le "$own" ] || case "$h" in nstime|settings|stats) ;; *) say "$f: includes the later stage core/$h.h" ;; esac
    done
done

# No clock and no I/O in core.
if grep -nE '\b(clock_gettime|gettimeofday|time|fopen|open|socket|read|write|printf|fprintf|syslog)\(' core/*.c |
    grep -vE '^\S+:[0-9]+:\s*(\*|/\*|//)'; then
    say "core: reads a clock, a file or a socket, or prints"
fi
[ $bad = 0 ] && echo "includes: $(ls core/*.[ch] | wc -l) core files in order"
exit $bad
