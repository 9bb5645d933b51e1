{{/*
How many replicas a Deployment begins with: a dict with root and pod. Where an autoscaler looks after it, as many as it has
now: a field that is left out after it was there means one, and any other number undoes what the autoscaler decided. Nothing
is found at a first install, and by `helm template` without --dry-run=server.
*/}}
{{- define "trunkline.replicas" -}}
{{- $own := .pod.values -}}
{{- if $own.autoscaling.enabled -}}
{{- $name := printf "%s-%s" (include "trunkline.fullname" .root) .pod.name -}}
{{- $live := lookup "apps/v1" "Deployment" .root.Release.Namespace $name -}}
{{- dig "spec" "replicas" $own.autoscaling.minReplicas $live -}}
{{- else -}}
{{- $own.replicas -}}
{{- end -}}
{{- end }}
