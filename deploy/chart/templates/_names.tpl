{{/* Names, labels and images. */}}

{{- define "trunkline.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Short enough for the longest suffix, that of a head service. */}}
{{- define "trunkline.fullname" -}}
{{- $name := include "trunkline.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 30 | trimSuffix "-" -}}
{{- end }}

{{/* Those that selectors have: they never change. */}}
{{- define "trunkline.selector" -}}
app.kubernetes.io/name: {{ include "trunkline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "trunkline.labels" -}}
{{ include "trunkline.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: trunkline
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{/* Of a dict with root and image. */}}
{{- define "trunkline.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The image of every role but training; the one with models in it where they are nowhere else. */}}
{{- define "trunkline.servingImage" -}}
{{- $tag := printf "%s%s" .Chart.AppVersion (ternary "-models" "" (eq .Values.models.source "image")) -}}
{{- include "trunkline.image" (dict "root" . "image" (merge (dict "tag" (.Values.image.tag | default $tag)) .Values.image)) -}}
{{- end }}

{{- define "trunkline.training.claim" -}}
{{- .Values.training.storage.existingClaim | default (printf "%s-training" (include "trunkline.fullname" .)) -}}
{{- end }}

{{/* Whether the training service makes Jobs. */}}
{{- define "trunkline.training.makesJobs" -}}
{{- if and .Values.training.enabled (eq .Values.training.launcher "kubernetes") }}true{{ end -}}
{{- end }}

{{/* The Secret with the certificate of every process; empty for plain text. */}}
{{- define "trunkline.tls.secret" -}}
{{- $tls := .Values.security.tls -}}
{{- if $tls.secretName }}{{ $tls.secretName }}{{ else if $tls.certManager.enabled }}{{ include "trunkline.fullname" . }}-tls{{ end -}}
{{- end }}

{{/* Whether probes are commands: the kubelet speaks no TLS to gRPC. */}}
{{- define "trunkline.probes.exec" -}}
{{- if or (eq .Values.probes.type "exec") (include "trunkline.tls.secret" .) }}true{{ end -}}
{{- end }}

{{/* How those who look at a Service know what is behind a port of gRPC. */}}
{{- define "trunkline.protocol" -}}
{{- if include "trunkline.tls.secret" . }}https{{ else }}kubernetes.io/h2c{{ end -}}
{{- end }}

{{/* Whether this cluster knows a sleep as preStop; where not, NOT_SERVING is shown for that much longer. */}}
{{- define "trunkline.sleeps" -}}
{{- if and .Values.drain.preStop (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) }}true{{ end -}}
{{- end }}
