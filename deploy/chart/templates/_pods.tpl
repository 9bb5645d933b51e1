{{/*
What runs, as data that all templates go through: `pods`, each with the values that hold for it and its containers, each
of which is one process: its role, arguments, ports, and values. The first container's component names the pod's values.
*/}}
{{- define "trunkline.pods" -}}
{{- $root := . -}}
{{- $values := .Values -}}
{{- $own := dict -}}
{{- range $name := list "gateway" "backbone" "catalog" "training" "allInOne" -}}
{{- $_ := set $own $name (mergeOverwrite (deepCopy $values.defaults) (deepCopy (index $values $name))) -}}
{{- end -}}
{{- $outer := list -}}
{{- $inner := list -}}
{{- range $index, $entry := $values.headServices -}}
{{- $merged := mergeOverwrite (deepCopy $values.defaults) (deepCopy $values.headDefaults) (deepCopy $entry) -}}
{{- $inside := and (eq $values.form "colocated") (default false $entry.colocated) -}}
{{- $port := ternary (add 8510 $index) 8502 (default false $inside) -}}
{{- $args := list "serve" "head" -}}
{{- if $entry.task -}}{{- $args = concat $args (list "--task" $entry.task) -}}{{- end -}}
{{- $head := dict "name" (printf "head-%s" $entry.name) "role" "head" "args" $args "port" $port "values" $merged -}}
{{- if $inside -}}{{- $inner = append $inner $head -}}{{- else -}}{{- $outer = append $outer $head -}}{{- end -}}
{{- end -}}
{{- $gateway := dict "name" "gateway" "role" "gateway" "args" (list "serve" "gateway") "port" 8500 "values" $own.gateway -}}
{{- $backbones := list -}}
{{- range $values.backboneServices -}}
{{- $merged := mergeOverwrite (deepCopy $own.backbone) (deepCopy .) -}}
{{- $backbones = append $backbones (dict "name" (printf "backbone-%s" .name) "role" "backbone" "args" (list "serve" "backbone") "port" 8501 "values" $merged) -}}
{{- else -}}
{{- $all := mergeOverwrite (dict "backbones" $values.models.backbones) $own.backbone -}}
{{- $backbones = append $backbones (dict "name" "backbone" "role" "backbone" "args" (list "serve" "backbone") "port" 8501 "values" $all) -}}
{{- end -}}
{{- $catalog := dict "name" "catalog" "role" "catalog" "args" (list "serve" "catalog") "port" 8503 "values" $own.catalog -}}
{{- $training := dict "name" "training" "role" "training" "args" (list "serve" "training") "port" 8504 "values" $own.training -}}
{{- $pods := list -}}
{{- if eq $values.form "allInOne" -}}
{{- $whole := dict "name" "gateway" "role" "allInOne" "args" (list "serve") "port" 8500 "values" $own.allInOne -}}
{{- $pods = append $pods (dict "name" "gateway" "values" $own.allInOne "containers" (list $whole)) -}}
{{- else if eq $values.form "colocated" -}}
{{- $pod := mergeOverwrite (deepCopy $own.gateway) (deepCopy $values.colocated) -}}
{{- $pods = append $pods (dict "name" "gateway" "values" $pod "containers" (concat (list $gateway) $backbones $inner)) -}}
{{- else -}}
{{- $pods = append $pods (dict "name" "gateway" "values" $own.gateway "containers" (list $gateway)) -}}
{{- range $backbones -}}
{{- $pods = append $pods (dict "name" .name "values" .values "containers" (list .)) -}}
{{- end -}}
{{- end -}}
{{- if ne $values.form "allInOne" -}}
{{- range $outer -}}
{{- $pods = append $pods (dict "name" .name "values" .values "containers" (list .)) -}}
{{- end -}}
{{- $pods = append $pods (dict "name" "catalog" "values" $own.catalog "containers" (list $catalog)) -}}
{{- if $values.training.enabled -}}
{{- $pods = append $pods (dict "name" "training" "values" $own.training "containers" (list $training)) -}}
{{- end -}}
{{- end -}}
{{- range $pods -}}
{{- range $index, $container := .containers -}}
{{- $suffix := ternary "" (printf "-%d" $index) (eq $index 0) -}}
{{- $_ := set $container "metricsPort" (add 9464 $index) -}}
{{- $_ := set $container "portName" (printf "grpc%s" $suffix) -}}
{{- $_ := set $container "metricsName" (printf "metrics%s" $suffix) -}}
{{- end -}}
{{- end -}}
{{- dict "pods" $pods | toYaml -}}
{{- end }}

{{/* Where the gateway finds a service: beside it, or all addresses behind a headless Service. Of a dict with root, beside, name, port. */}}
{{- define "trunkline.target" -}}
{{- if .beside -}}
127.0.0.1:{{ .port }}
{{- else -}}
dns:///{{ include "trunkline.fullname" .root }}-{{ .name }}:{{ .port }}
{{- end -}}
{{- end }}
