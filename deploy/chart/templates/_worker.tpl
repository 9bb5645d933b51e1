{{/* The pod template of a training job; the service fills in image, command and settings, and what restricts it. */}}
{{- define "trunkline.worker" -}}
{{- $worker := .Values.training.worker -}}
metadata:
  labels:
    trunkline.io/release: {{ .Release.Name }}
spec:
  serviceAccountName: {{ include "trunkline.fullname" . }}-worker
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{ toJson . }}
  {{- end }}
  {{- with $worker.nodeSelector }}
  nodeSelector: {{ toJson . }}
  {{- end }}
  {{- with $worker.tolerations }}
  tolerations: {{ toJson . }}
  {{- end }}
  securityContext:
    fsGroupChangePolicy: OnRootMismatch
  containers:
    - name: worker
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- with .Values.models.secretName }}
      envFrom:
        - secretRef: {name: {{ . }}}
      {{- end }}
      env:
        - {name: HOME, value: /tmp}
        {{- if .Values.models.env }}
        {{- include "trunkline.storeEnv" . | nindent 8 }}
        {{- end }}
        {{- with $worker.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      resources:
        {{- toYaml $worker.resources | nindent 8 }}
      volumeMounts:
        - {name: scratch, mountPath: /tmp}
        - {name: state, mountPath: /var/lib/trunkline}
        {{- if eq .Values.models.source "claim" }}
        - {name: models, mountPath: {{ .Values.models.path }}}
        {{- end }}
        {{- include "trunkline.trainingMounts" . | nindent 8 }}
  volumes:
    - name: scratch
      emptyDir: {sizeLimit: {{ .Values.training.scratchSize }}}
    - name: state
      emptyDir: {sizeLimit: {{ .Values.models.cacheSize }}}
    {{- if eq .Values.models.source "claim" }}
    - name: models
      persistentVolumeClaim: {claimName: {{ .Values.models.claim }}}
    {{- end }}
    {{- include "trunkline.trainingVolumes" . | nindent 4 }}
{{- end }}
