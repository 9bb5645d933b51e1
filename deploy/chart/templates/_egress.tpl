{{/* A rule for what is outside of the release: a dict of peers and ports. */}}
{{- define "trunkline.outside" }}
- ports:
    {{- range .ports }}
    - {port: {{ . }}}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Where the processes of a pod connect to: a dict with root, pods and pod. */}}
{{- define "trunkline.egress" -}}
{{- $values := .root.Values -}}
{{- $policy := $values.networkPolicy -}}
{{- $pod := .pod -}}
{{- $isGateway := eq $pod.name "gateway" -}}
{{- $isTraining := eq $pod.name "training" -}}
{{- $reads := or (ne (index $pod.containers 0).role "gateway") (gt (len $pod.containers) 1) -}}
{{- if $isGateway }}
{{- $selector := include "trunkline.selector" .root }}
{{- range $other := .pods }}
{{- if ne $other.name "gateway" }}
- ports: [{port: {{ (index $other.containers 0).port }}}]
  to:
    - podSelector:
        matchLabels:
          {{- $selector | nindent 10 }}
          app.kubernetes.io/component: {{ $other.name }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $reads (eq $values.models.source "url") }}
{{- include "trunkline.outside" $policy.objectStore }}
{{- end }}
{{- if or (and $isGateway $values.galleries.enabled $values.galleries.databaseSecret.name) (and $isTraining $values.training.databaseSecret.name) }}
{{- include "trunkline.outside" $policy.database }}
{{- end }}
{{- if and $isTraining (include "trunkline.training.makesJobs" .root) }}
{{- include "trunkline.outside" $policy.kubernetesApi }}
{{- end }}
{{- end }}
