#!/bin/sh
# Writes what Helm makes of the chart, for those who have no Helm: render.sh [FOLDER], here by default.
set -eu
cd "$(dirname "$0")"
out=${1:-.}
for form in split colocated minimal; do
  values=values-$form.yaml
  [ "$form" != split ] || values=values.yaml
  mkdir -p "$out/$form"
  {
    echo "# Made by \`make manifests\` from deploy/chart/$values: change that, not this."
    # What says that Helm looks after it, and where each part comes from, is left out.
    helm template trunkline ../chart --namespace trunkline --values "../chart/$values" --kube-version 1.30 --skip-tests |
      sed -e '/app.kubernetes.io\/managed-by: Helm/d' -e '/helm.sh\/chart:/d' -e '/^# Source: /d'
  } >"$out/$form/trunkline.yaml"
done
