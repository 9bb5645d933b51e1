{{/* Parts that pods have in common. */}}

{{- define "trunkline.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "trunkline.containerSecurity" -}}
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* One probe: a dict with root, container and service, a name of grpc.health.v1. */}}
{{- define "trunkline.probe" -}}
{{- if include "trunkline.probes.exec" .root -}}
{{- $address := printf "127.0.0.1:%v" .container.port -}}
{{/* With TLS a process listens at this socket too, where its user alone gets. */}}
{{- if include "trunkline.tls.secret" .root }}{{ $address = printf "unix:/tmp/trunkline-65532/0.0.0.0_%v.sock" .container.port }}{{ end -}}
exec:
  command: [trunkline-health, "{{ $address }}"{{ with .service }}, --service, {{ . }}{{ end }}, --timeout, "{{ .root.Values.probes.timeoutSeconds }}"]
{{- else -}}
grpc:
  port: {{ .container.port }}
  {{- with .service }}
  service: {{ . }}
  {{- end }}
{{- end }}
timeoutSeconds: {{ .root.Values.probes.timeoutSeconds }}
{{- end }}

{{/* Variables that are no plain settings. */}}
{{- define "trunkline.env" -}}
{{- $values := .root.Values -}}
{{- $own := .container.values -}}
- name: TRUNKLINE_THREADS
  {{- if $own.threads }}
  value: {{ $own.threads | quote }}
  {{- else }}
  valueFrom:
    resourceFieldRef:
      containerName: {{ .container.name }}
      resource: {{ ternary "limits.cpu" "requests.cpu" (hasKey ($own.resources.limits | default dict) "cpu") }}
      divisor: "1"
  {{- end }}
{{- if and $values.galleries.enabled $values.galleries.databaseSecret.name (has .container.role (list "gateway" "allInOne")) }}
- name: TRUNKLINE_GALLERY_DATABASE
  valueFrom:
    secretKeyRef: {{ toJson $values.galleries.databaseSecret }}
{{- end }}
{{- if eq .container.role "training" }}
{{- if $values.training.databaseSecret.name }}
- name: TRUNKLINE_TRAINING_DATABASE
  valueFrom:
    secretKeyRef: {{ toJson $values.training.databaseSecret }}
{{- end }}
{{- if eq $values.training.launcher "kubernetes" }}
- name: TRUNKLINE_TRAINING_KUBERNETES_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
{{- end }}
{{- end }}
{{- if and (ne .container.role "gateway") $values.models.env }}
{{ include "trunkline.storeEnv" .root }}
{{- end }}
{{- with $own.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the client of an object store needs, beside the Secret. */}}
{{- define "trunkline.storeEnv" -}}
{{- $env := list -}}
{{- range $name, $value := .Values.models.env -}}
{{- $env = append $env (dict "name" $name "value" (toString $value)) -}}
{{- end -}}
{{- toYaml $env -}}
{{- end }}

{{- define "trunkline.mounts" -}}
{{- $values := .root.Values -}}
- {name: scratch, mountPath: /tmp}
- {name: state, mountPath: /var/lib/trunkline}
{{- if include "trunkline.tls.secret" .root }}
- {name: tls, mountPath: /run/secrets/trunkline/tls, readOnly: true}
{{- end }}
{{- if $values.security.auth }}
- {name: access, mountPath: /run/secrets/trunkline/access, readOnly: true}
{{- end }}
{{- if and (ne .container.role "gateway") (eq $values.models.source "claim") }}
- {name: models, mountPath: {{ $values.models.path }}, readOnly: {{ not (has .container.role (list "catalog" "training" "allInOne")) }}}
{{- end }}
{{- if and .shared (has .container.role (list "backbone" "head")) }}
- {name: features, mountPath: /run/trunkline}
{{- end }}
{{- if and $values.galleries.enabled $values.galleries.claim (has .container.role (list "gateway" "allInOne")) }}
- {name: galleries, mountPath: /var/lib/trunkline/galleries}
{{- end }}
{{- if eq .container.role "training" }}
{{ include "trunkline.trainingMounts" .root }}
{{- if eq $values.training.launcher "kubernetes" }}
- {name: worker, mountPath: /etc/trunkline, readOnly: true}
{{- end }}
{{- end }}
{{- with .container.values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The same in the training service and its workers, which must find things at the same paths. */}}
{{- define "trunkline.trainingMounts" -}}
- {name: training, mountPath: /var/lib/trunkline/training, subPath: jobs}
- {name: training, mountPath: /var/lib/trunkline/features, subPath: features}
{{- if .Values.training.data.existingClaim }}
- {name: data, mountPath: {{ .Values.training.data.path }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "trunkline.trainingVolumes" -}}
- name: training
  persistentVolumeClaim: {claimName: {{ include "trunkline.training.claim" . }}}
{{- with .Values.training.data.existingClaim }}
- name: data
  persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "trunkline.container" -}}
{{- $values := .root.Values -}}
{{- $container := .container -}}
name: {{ $container.name }}
{{- if eq $container.role "training" }}
image: {{ include "trunkline.image" (dict "root" .root "image" $values.training.image) }}
{{- else }}
image: {{ include "trunkline.servingImage" .root }}
{{- end }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args: {{ toJson $container.args }}
envFrom:
  - configMapRef: {name: {{ include "trunkline.fullname" .root }}-{{ $container.name }}}
  {{- if and $values.models.secretName (ne $container.role "gateway") }}
  - secretRef: {name: {{ $values.models.secretName }}}
  {{- end }}
env:
  {{- include "trunkline.env" . | nindent 2 }}
ports:
  - {name: {{ $container.portName }}, containerPort: {{ $container.port }}}
  {{- if and (has $container.role (list "gateway" "allInOne")) $values.gateway.httpPort }}
  - {name: http, containerPort: {{ $values.gateway.httpPort }}}
  {{- end }}
  {{- if and (has $container.role (list "gateway" "allInOne")) $values.security.adminPort }}
  - {name: admin, containerPort: {{ $values.security.adminPort }}}
  {{- end }}
  {{- if $values.metrics.enabled }}
  - {name: {{ $container.metricsName }}, containerPort: {{ $container.metricsPort }}}
  {{- end }}
startupProbe:
  {{- include "trunkline.probe" (dict "root" .root "container" $container "service" "live") | nindent 2 }}
  periodSeconds: 5
  failureThreshold: {{ divf $values.probes.startupSeconds 5 | ceil | int }}
{{- /* Starting a process in a container costs its runtime more than the answer costs, so commands are run less often. */}}
livenessProbe:
  {{- include "trunkline.probe" (dict "root" .root "container" $container "service" "live") | nindent 2 }}
  periodSeconds: {{ ternary 30 10 (ne (include "trunkline.probes.exec" .root) "") }}
  failureThreshold: 3
readinessProbe:
  {{- include "trunkline.probe" (dict "root" .root "container" $container "service" "") | nindent 2 }}
  periodSeconds: {{ ternary 15 5 (ne (include "trunkline.probes.exec" .root) "") }}
  failureThreshold: 2
{{- if include "trunkline.sleeps" .root }}
lifecycle:
  preStop:
    sleep: {seconds: {{ $values.drain.preStop }}}
{{- end }}
resources:
  {{- toYaml $container.values.resources | nindent 2 }}
securityContext:
  {{- include "trunkline.containerSecurity" .root | nindent 2 }}
volumeMounts:
  {{- include "trunkline.mounts" . | nindent 2 }}
{{- end }}
