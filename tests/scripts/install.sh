#!/usr/bin/env bash
# Installs a build into a temporary folder, looks whether all of it is there, and works with what was installed alone:
# the program says its version and lists environments, and a plugin compiles against the installed header and is loaded.
#   install.sh BUILD_FOLDER SOURCE_FOLDER
set -euo pipefail
build=$1 source=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
prefix=$folder/prefix

cmake --install "$build" --prefix "$prefix" >"$folder/log" 2>&1 || {
    cat "$folder/log"
    exit 1
}

failed=0
for file in bin/manta include/manta/manta_env.h include/manta/manta_policy.h include/manta/manta_runtime.h share/pkgconfig/manta.pc share/manta/presets/ppo.yml \
    share/man/man1/manta.1 share/bash-completion/completions/manta share/doc/manta/LICENSE; do
    [ -s "$prefix/$file" ] || {
        echo "missing: $file"
        failed=1
    }
done
[ $failed -eq 0 ] || exit 1

"$prefix/bin/manta" version
"$prefix/bin/manta" envs | grep CartPole-v1 || { echo "the installed program lists no CartPole-v1"; exit 1; }

# the pages are what they should be
head -n 1 "$prefix/share/man/man1/manta.1" | grep -q '^\.TH' || { echo "manta.1 is no man page"; exit 1; }
bash -n "$prefix/share/bash-completion/completions/manta"
if command -v man >/dev/null; then
    warnings=$(MANWIDTH=80 MANROFFSEQ='' man --warnings -l "$prefix/share/man/man1/manta.1" 2>&1 >/dev/null || true)
    [ -z "$warnings" ] || { echo "manta.1: $warnings"; exit 1; }
fi

# a plugin from the installed header alone, with the flags pkg-config gives, and another time as C++
export PKG_CONFIG_PATH=$prefix/share/pkgconfig
pkg-config --exists manta
[ "$(pkg-config --variable=prefix manta)" -ef "$prefix" ] || { echo "manta.pc does not follow its prefix"; exit 1; }
version=$(pkg-config --modversion manta)
"$prefix/bin/manta" version | grep -Fq "$version" || { echo "manta.pc says $version"; exit 1; }
plugin=$(find "$source/examples" -name '*.c' -exec grep -l manta_env_entry {} + | LC_ALL=C sort | head -n 1)
[ -n "$plugin" ] || { echo "no example plugin under examples/"; exit 1; }
cd "$folder"
# shellcheck disable=SC2046
cc -std=c17 -Wall -Wextra -Werror -shared -fPIC $(pkg-config --cflags manta) -o "$folder/plugin.so" "$plugin" -lm
"$prefix/bin/manta" plugin check "$folder/plugin.so"
for example in my_policy my_layer my_loss; do
    # shellcheck disable=SC2046
    cc -std=c11 -O2 -Wall -Wextra -Werror -pedantic -shared -fPIC $(pkg-config --cflags manta) -o "$folder/$example.so" "$source/examples/$example.c" -lm
    "$prefix/bin/manta" plugin check "$folder/$example.so" | tail -n 1
done
echo '#include <manta/manta_env.h>
#include <manta/manta_policy.h>
int main() { return sizeof(manta_env_desc) + sizeof(manta_policy_desc) == 0; }' >user.cpp
# shellcheck disable=SC2046
c++ -std=c++11 -Wall -Wextra -Werror $(pkg-config --cflags manta) -o user user.cpp && ./user

# a program of the runtime from the installed header and library alone
runtime=$(find "$prefix" -name manta-runtime.pc)
[ -n "$runtime" ] || { echo "manta-runtime.pc is missing"; exit 1; }
export PKG_CONFIG_PATH=$PKG_CONFIG_PATH:${runtime%/*}
sed 's|"engine/runtime/manta_runtime.h"|<manta/manta_runtime.h>|' "$source/examples/tasks.c" >tasks.c
# shellcheck disable=SC2046
cc -std=gnu17 -Wall -Wextra -Werror -o tasks tasks.c $(pkg-config --cflags --libs manta-runtime)
echo "1 2 3" >a.txt
echo "10 20 30" >b.txt
./tasks a.txt b.txt | tr '\n' ' ' | grep -q '11 22 33' || { echo "the installed runtime cannot add"; exit 1; }
echo "installed files work on their own"
