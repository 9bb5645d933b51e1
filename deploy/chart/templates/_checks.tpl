{{/* Combinations that the schema cannot refuse, each with what to do. */}}
{{- define "trunkline.checks" -}}
{{- $v := .Values -}}
{{- if and (eq $v.models.source "claim") (not $v.models.claim) }}{{ fail "models.source is claim: set models.claim to the name of a PersistentVolumeClaim" }}{{ end -}}
{{- if and (eq $v.models.source "url") (not $v.models.url) }}{{ fail "models.source is url: set models.url, such as s3://BUCKET/PREFIX" }}{{ end -}}
{{- $tls := include "trunkline.tls.secret" . -}}
{{- if and $v.security.auth (not $v.security.accessSecret.name) }}{{ fail "security.auth needs the access file: set security.accessSecret.name" }}{{ end -}}
{{- if and $v.security.auth (not $tls) }}{{ fail "security.auth needs TLS: set security.tls.secretName, or security.tls.certManager.enabled" }}{{ end -}}
{{- if and $v.security.tls.certManager.enabled (not $v.security.tls.certManager.issuerRef.name) }}{{ fail "security.tls.certManager.enabled: set security.tls.certManager.issuerRef.name" }}{{ end -}}
{{- if and (not $v.security.insecure) (not $tls) }}{{ fail "security.insecure is false: set security.tls and security.auth, which say how callers are known" }}{{ end -}}
{{- if and $v.gatewayApi.enabled $tls (not $v.security.tls.caConfigMap) }}{{ fail "gatewayApi with TLS behind it: set security.tls.caConfigMap to a ConfigMap with ca.crt" }}{{ end -}}
{{- $names := list -}}
{{- range $v.headServices -}}
{{- if has .name $names }}{{ fail (printf "two head services are named %s: names must differ" .name) }}{{ end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- $names = list -}}
{{- range $v.backboneServices -}}
{{- if has .name $names }}{{ fail (printf "two backbone services are named %s: names must differ" .name) }}{{ end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- if and $v.backboneServices (ne $v.form "split") }}{{ fail "backboneServices are for form split: one process has all backbones in the other forms" }}{{ end -}}
{{- if and (eq $v.form "colocated") $v.galleries.claim }}{{ fail "galleries.claim is for one gateway: with form colocated set galleries.databaseSecret" }}{{ end -}}
{{- $gateway := ternary $v.allInOne $v.gateway (eq $v.form "allInOne") -}}
{{- $gateway = mergeOverwrite (deepCopy $v.defaults) (deepCopy $gateway) -}}
{{- if and $v.galleries.enabled (not $v.galleries.databaseSecret.name) -}}
{{- if not $v.galleries.claim }}{{ fail "galleries need a database: set galleries.databaseSecret.name, or galleries.claim with one gateway" }}{{ end -}}
{{- if or (gt (int $gateway.replicas) 1) $gateway.autoscaling.enabled }}{{ fail "galleries in SQLite are for one gateway: set galleries.databaseSecret.name, or one replica without autoscaling" }}{{ end -}}
{{- end -}}
{{- if $v.training.enabled -}}
{{- if eq $v.form "allInOne" }}{{ fail "training has a service of its own: set form to split or colocated" }}{{ end -}}
{{- if eq $v.models.source "image" }}{{ fail "training publishes models, and those of an image cannot be changed: set models.source to claim or url" }}{{ end -}}
{{- if not $v.training.databaseSecret.name -}}
{{- if eq $v.training.launcher "kubernetes" }}{{ fail "workers in Jobs need PostgreSQL: set training.databaseSecret.name" }}{{ end -}}
{{- if gt (int $v.training.replicas) 1 }}{{ fail "training in SQLite is for one replica: set training.databaseSecret.name" }}{{ end -}}
{{- end -}}
{{- $shared := has "ReadWriteMany" $v.training.storage.accessModes -}}
{{- if and (not $v.training.storage.existingClaim) (not $shared) (or (eq $v.training.launcher "kubernetes") (gt (int $v.training.replicas) 1)) }}{{ fail "several pods use the volume of training: set training.storage.accessModes to [ReadWriteMany]" }}{{ end -}}
{{- end -}}
{{- end }}
