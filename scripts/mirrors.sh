#!/usr/bin/env bash
# mirrors.sh [REGISTRY]: prints the `mirrors:` section of a kmodforge.yaml for this machine.
# Packages come from where the machine's own apt gets them; images of Docker Hub's library from REGISTRY, when given.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/lib.sh
. "$HERE/lib.sh"

echo 'mirrors:'
if [ -n "${1:-}" ]; then
    echo '  images:'
    echo "    \"docker.io/library/\": \"$1/library/\""
fi
echo '  packages:'
echo "    \"http://ftp.debian.org/debian\": \"$(debian_mirror main)\""
echo "    \"http://security.debian.org/debian-security\": \"$(debian_mirror security)\""
