{{/* The settings of one process, TRUNKLINE_NAME to text: a dict with root, pods and container. */}}
{{- define "trunkline.settings" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $container := .container -}}
{{- $role := $container.role -}}
{{- $drain := $values.drain -}}
{{- $pause := $drain.pause -}}
{{- if not (include "trunkline.sleeps" $root) }}{{ $pause = addf $drain.preStop $drain.pause }}{{ end -}}
{{- $set := dict
  "TRUNKLINE_ADDRESS" (printf "0.0.0.0:%v" $container.port)
  "TRUNKLINE_CONNECTION_AGE_S" $values.connectionAge
  "TRUNKLINE_DRAIN_PAUSE_S" $pause
  "TRUNKLINE_DRAIN_S" $drain.finish
  "TRUNKLINE_INSECURE" $values.security.insecure
  "TRUNKLINE_METRICS_ADDRESS" (ternary (printf "0.0.0.0:%v" $container.metricsPort) "" $values.metrics.enabled) -}}
{{- if include "trunkline.tls.secret" $root -}}
{{- $_ := set $set "TRUNKLINE_TLS_CERT" "/run/secrets/trunkline/tls/tls.crt" -}}
{{- $_ := set $set "TRUNKLINE_TLS_KEY" "/run/secrets/trunkline/tls/tls.key" -}}
{{- $_ := set $set "TRUNKLINE_TLS_CLIENT_CA" "/run/secrets/trunkline/tls/ca.crt" -}}
{{- end -}}
{{- if $values.security.auth -}}
{{- $_ := set $set "TRUNKLINE_AUTH" (ternary (join "," $values.security.auth) "mtls" (has $role (list "gateway" "allInOne"))) -}}
{{- $_ := set $set "TRUNKLINE_ACCESS_FILE" (printf "/run/secrets/trunkline/access/%s" $values.security.accessSecret.key) -}}
{{- end -}}
{{- if and $values.security.adminPort (has $role (list "gateway" "allInOne")) -}}
{{- $_ := set $set "TRUNKLINE_ADMIN_ADDRESS" (printf "0.0.0.0:%v" $values.security.adminPort) -}}
{{- end -}}
{{- if ne $role "gateway" -}}
{{- $_ := set $set "TRUNKLINE_MODELS" (ternary $values.models.url $values.models.path (eq $values.models.source "url")) -}}
{{- $_ := set $set "TRUNKLINE_MODELS_CACHE" "/var/lib/trunkline/models" -}}
{{- end -}}
{{- if has $role (list "backbone" "allInOne") -}}
{{- $named := ternary $values.models.backbones $container.values.backbones (eq $role "allInOne") -}}
{{- if and (not $named) $values.models.backbone }}{{ $named = list $values.models.backbone }}{{ end -}}
{{- $_ := set $set "TRUNKLINE_BACKBONES" (join "," $named) -}}
{{- end -}}
{{- if and (eq $role "head") $container.values.heads -}}
{{- $_ := set $set "TRUNKLINE_HEADS" (join "," $container.values.heads) -}}
{{- end -}}
{{- if and (eq $values.form "colocated") (has $role (list "backbone" "head")) -}}
{{- $inside := false -}}
{{- range (index .pods 0).containers }}{{ if eq .name $container.name }}{{ $inside = true }}{{ end }}{{ end -}}
{{- if $inside -}}
{{/* The pod's containers get SIGTERM together; the gateway needs these until its last call has ended. */}}
{{- $_ := set $set "TRUNKLINE_DRAIN_PAUSE_S" (addf $pause $drain.finish) -}}
{{- $_ := set $set "TRUNKLINE_SHARED_MEMORY" "/run/trunkline/features" -}}
{{- $_ := set $set "TRUNKLINE_SHARED_MEMORY_MIB" $values.colocated.sharedMemoryMib -}}
{{- end -}}
{{- end -}}
{{- if has $role (list "gateway" "allInOne") -}}
{{- $set = merge $set (include "trunkline.settings.gateway" . | fromYaml) -}}
{{- end -}}
{{- if eq $role "training" -}}
{{- $set = merge $set (include "trunkline.settings.training" . | fromYaml) -}}
{{- end -}}
{{- $set = mergeOverwrite $set (deepCopy $values.config) (deepCopy $container.values.config) -}}
{{- range $name, $value := $set }}
{{ $name }}: {{ $value | toString | quote }}
{{- end -}}
{{- end }}

{{- define "trunkline.settings.gateway" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
TRUNKLINE_DEFAULT_HEADS: {{ join "," $values.gateway.defaultHeads | quote }}
TRUNKLINE_HTTP_ADDRESS: {{ ternary (printf "0.0.0.0:%v" $values.gateway.httpPort) "" (gt (int $values.gateway.httpPort) 0) | quote }}
TRUNKLINE_TRAINING_JOBS: {{ ternary 1 0 (and $values.training.enabled (eq .container.role "gateway")) | quote }}
{{- if $values.galleries.enabled }}
TRUNKLINE_GALLERY_INDEX: /var/lib/trunkline/galleries
TRUNKLINE_GALLERY_MEMORY_MIB: {{ $values.galleries.memoryMib | quote }}
{{- if not $values.galleries.databaseSecret.name }}
TRUNKLINE_GALLERY_DATABASE: sqlite:////var/lib/trunkline/galleries/galleries.db
{{- end }}
{{- else }}
TRUNKLINE_GALLERY_DATABASE: ""
{{- end }}
{{- if eq .container.role "gateway" }}
TRUNKLINE_STARTUP_GRACE_S: {{ $values.gateway.startupGrace | quote }}
{{- $heads := list -}}
{{- $backbones := list -}}
{{- range $index, $pod := .pods -}}
{{- range $pod.containers -}}
{{- $target := include "trunkline.target" (dict "root" $root "beside" (eq $index 0) "name" $pod.name "port" .port) -}}
{{- if eq .role "head" }}{{ $heads = append $heads $target }}
{{- else if eq .role "backbone" }}{{ $backbones = append $backbones $target }}
{{- else if ne .role "gateway" }}
TRUNKLINE_{{ upper .role }}_ADDRESS: {{ $target | quote }}
{{- end }}
{{- end }}
{{- end }}
TRUNKLINE_BACKBONE_ADDRESSES: {{ join "," $backbones | quote }}
TRUNKLINE_HEAD_ADDRESSES: {{ join "," $heads | quote }}
{{- end }}
{{- end }}

{{- define "trunkline.settings.training" -}}
{{- $training := .root.Values.training -}}
TRUNKLINE_TRAINING_WORK: /var/lib/trunkline/training
TRUNKLINE_TRAINING_CACHE: /var/lib/trunkline/features
TRUNKLINE_TRAINING_DATA_ROOTS: {{ $training.data.path | quote }}
TRUNKLINE_TRAINING_JOBS: {{ $training.jobs | quote }}
TRUNKLINE_TRAINING_LAUNCHER: {{ $training.launcher }}
{{- if not $training.databaseSecret.name }}
TRUNKLINE_TRAINING_DATABASE: sqlite:////var/lib/trunkline/training/jobs.db
{{- end }}
{{- if eq $training.launcher "kubernetes" }}
TRUNKLINE_TRAINING_KUBERNETES_IMAGE: {{ include "trunkline.image" (dict "root" .root "image" $training.image) }}
TRUNKLINE_TRAINING_KUBERNETES_TEMPLATE: /etc/trunkline/worker.yaml
TRUNKLINE_TRAINING_KUBERNETES_DATABASE_SECRET: {{ printf "%s/%s" $training.databaseSecret.name $training.databaseSecret.key }}
{{- end }}
{{- end }}
