#!/bin/sh
# Generates the Go code of Trunkline's public protos: ./generate.sh [FOLDER OF THE MODULE]
# It needs protoc, protoc-gen-go and protoc-gen-go-grpc on the path.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
protos=$here/../../protos
module=trunkline.example/client
out=${1:-$here}
# The protos name no Go package, since where you keep the code is yours to say: each gets one by its folder.
files=$(cd "$protos" && find trunkline/api/limits trunkline/api/vision -name '*.proto')
set --
for file in $files; do
  package="M$file=$module/$(dirname "$file")"
  set -- "$@" "--go_opt=$package" "--go-grpc_opt=$package"
done
# shellcheck disable=SC2086  # names of files without spaces
protoc -I "$protos" --go_out="$out" --go_opt="module=$module" \
  --go-grpc_out="$out" --go-grpc_opt="module=$module" "$@" $files
