#!/usr/bin/env bash
# Lays out judged sets in nine languages (and English, as the yardstick) in DIR: from manuals in
# Debian's packages, because they can be had wherever Debian's packages can. Needs apt and python3,
# not root: apt gets lists and a state of its own in DIR, and nothing is installed.
#   tests/world.sh DIR     then DIR/sets/<language>, DIR/pages, DIR/words.tsv; sets are laid out in
#                          DIR/laid, if anywhere, because that goes when they are made anew
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
packages=(debian-handbook gnome-panel-data libreoffice-l10n-th mate-user-guide)
for language in de el en-us fr ja ko ru zh-cn zh-tw; do
  packages+=("libreoffice-help-$language")
done
# What is laid out follows from these two scripts alone (and from the release of Debian).
version=$(cat "$here/world.sh" "$here/world.py" | sha256sum | cut -d ' ' -f 1)
dir=$(mkdir -p "$1" && cd "$1" && pwd)
[ "$(cat "$dir/version" 2> /dev/null)" = "$version" ] && exit 0
rm -rf "$dir"/{version,sets,pages,words.tsv,counts.tsv,laid,apt}

apt=$dir/apt
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$dir/packages"
: > "$apt/status"
cat > "$apt/conf" << END
#clear APT::Update;
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons-small;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
#clear Acquire::IndexTargets::deb::DEP-11-icons-hidpi;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large;
#clear Acquire::IndexTargets::deb::DEP-11-icons-large-hidpi;
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "$(id -un)";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
END
log=$apt/log
tell() {
  cat "$log" >&2
  echo "world.sh: $1" >&2
  exit 1
}
missing=()
for package in "${packages[@]}"; do
  compgen -G "$dir/packages/${package}_*.deb" > /dev/null || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get -c "$apt/conf" -qq update > "$log" 2>&1 || tell "the lists of packages could not be had"
  # Into a folder of its own first: a download that was cut must not pass for a package.
  mkdir "$apt/got"
  (cd "$apt/got" && apt-get -c "$apt/conf" -qq download "${missing[@]}" > "$log" 2>&1) \
    || tell "a package could not be had"
  mv "$apt/got"/*.deb "$dir/packages/"
fi
rm -rf "$apt"
python3 "$here/world.py" "$dir"
echo "$version" > "$dir/version"
