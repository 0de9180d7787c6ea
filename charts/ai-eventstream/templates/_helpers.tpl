{{/* The beginning of all names. */}}
{{- define "es.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What never changes about a component's pods. Call with (dict "root" $ "component" NAME). */}}
{{- define "es.selector" -}}
app.kubernetes.io/name: ai-eventstream
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- if has .component (list "worker" "consumer") }}
ai-eventstream.io/stream: default
{{- end }}
{{- end -}}

{{- define "es.labels" -}}
{{ include "es.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* A project image. Call with (dict "root" $ "name" "api|worker|operator"). */}}
{{- define "es.image" -}}
{{- $images := .root.Values.images -}}
{{- get $images .name | default (printf "%s/%s:%s" $images.registry .name ($images.tag | default .root.Chart.AppVersion)) -}}
{{- end -}}

{{/* A whole number as Helm may hold it (a float), without an exponent. */}}
{{- define "es.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* "yes" where the built-in server is installed, else "". */}}
{{- define "es.builtIn.cache" -}}
{{- if not (or .Values.redis.cache.url .Values.redis.cache.existingSecret) }}yes{{ end -}}
{{- end -}}
{{- define "es.builtIn.state" -}}
{{- if not (or .Values.redis.state.url .Values.redis.state.existingSecret) }}yes{{ end -}}
{{- end -}}
{{- define "es.builtIn.kafka" -}}
{{- if and .Values.kafka.enabled (not .Values.kafka.bootstrapServers) }}yes{{ end -}}
{{- end -}}

{{- define "es.kafka" -}}
{{- .Values.kafka.bootstrapServers | default (printf "%s-kafka.%s.svc:9092" (include "es.name" .) .Release.Namespace) -}}
{{- end -}}

{{/* Security of a pod. Call with the uid that the image runs as. */}}
{{- define "es.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}
{{- define "es.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* A pod setting: the component's own where it is set, else that of `pods`. */}}
{{- define "es.scheduling" -}}
{{- $pods := .root.Values.pods -}}
{{- $own := .pod | default dict -}}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with ($own.nodeSelector | default $pods.nodeSelector) }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with ($own.tolerations | default $pods.tolerations) }}
tolerations: {{ toJson . }}
{{- end }}
{{- with ($own.affinity | default $pods.affinity) }}
affinity: {{ toJson . }}
{{- end }}
{{- with ($own.priorityClassName | default $pods.priorityClassName) }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- $spread := $pods.topologySpreadConstraints -}}
{{- if hasKey $own "topologySpreadConstraints" }}{{ $spread = $own.topologySpreadConstraints }}{{ end -}}
{{- if kindIs "slice" $spread }}
{{- with $spread }}
topologySpreadConstraints: {{ toJson . }}
{{- end }}
{{- else if has .component (list "api" "worker" "consumer") }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "es.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{- define "es.podLabels" -}}
{{ include "es.selector" . }}
{{- with merge (dict) ((.pod | default dict).labels | default dict) .root.Values.pods.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Annotations of a pod, with the checksums that roll it when its settings change. */}}
{{- define "es.podAnnotations" -}}
checksum/settings: {{ include (print .root.Template.BasePath "/settings.yaml") .root | sha256sum }}
{{- if has .component (list "worker" "consumer") }}
checksum/probe: {{ .root.Files.Get "files/progress.py" | sha256sum }}
{{- end }}
{{- with merge (dict) ((.pod | default dict).annotations | default dict) .root.Values.pods.annotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
A list of `pods` and the component's own; of two that are called the same the later one is left. Call
with "root", "pod", and which "list" it is, and what its items are told apart by ("key").
*/}}
{{- define "es.extra" -}}
{{- $key := .key -}}
{{- $all := concat (get .root.Values.pods .list | default list) (get (.pod | default dict) .list | default list) -}}
{{- $kept := list -}}
{{- range $index, $each := $all -}}
{{- $again := false -}}
{{- range slice $all (add1 $index | int) -}}
{{- if eq (get . $key) (get $each $key) }}{{ $again = true }}{{ end -}}
{{- end -}}
{{- if not $again }}{{ $kept = append $kept $each }}{{ end -}}
{{- end -}}
{{- with $kept }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- define "es.extraEnv" -}}
{{- include "es.extra" (dict "root" .root "pod" .pod "list" "extraEnv" "key" "name") -}}
{{- end -}}
{{- define "es.extraVolumes" -}}
{{- include "es.extra" (dict "root" .root "pod" .pod "list" "extraVolumes" "key" "name") -}}
{{- end -}}
{{- define "es.extraVolumeMounts" -}}
{{- include "es.extra" (dict "root" .root "pod" .pod "list" "extraVolumeMounts" "key" "mountPath") -}}
{{- end -}}

{{/* One variable out of a Secret that may or may not hold it. */}}
{{- define "es.optionalKey" -}}
- name: {{ .key }}
  valueFrom: {secretKeyRef: {name: {{ .secret | quote }}, key: {{ .key }}, optional: true}}
{{- end -}}

{{/* Where Redis is: addresses that hold a password come out of Secrets. */}}
{{- define "es.storeEnv" -}}
{{- $redis := .Values.redis -}}
{{- $name := include "es.name" . -}}
- name: REDIS_URL
{{- if $redis.cache.existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ $redis.cache.existingSecret | quote }}, key: {{ $redis.cache.existingSecretKey | quote }}}}
{{- else }}
  value: {{ $redis.cache.url | default (printf "redis://%s-redis-cache.%s.svc:6379/0" $name .Release.Namespace) | quote }}
{{- end }}
- name: CELERY_BROKER_URL
{{- if $redis.state.existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ $redis.state.existingSecret | quote }}, key: {{ $redis.state.existingSecretBrokerKey | quote }}}}
{{- else if $redis.state.brokerUrl }}
  value: {{ $redis.state.brokerUrl | quote }}
{{- else if $redis.state.url }}
  value: {{ regexReplaceAll "^([^?]*?)(/[0-9]+)?/?(\\?.*)?$" $redis.state.url "${1}/1${3}" | quote }}
{{- else }}
  value: {{ printf "redis://%s-redis-state.%s.svc:6379/1" $name .Release.Namespace | quote }}
{{- end }}
- name: CELERY_RESULT_BACKEND
{{- if $redis.state.existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ $redis.state.existingSecret | quote }}, key: {{ $redis.state.existingSecretKey | quote }}}}
{{- else }}
  value: {{ $redis.state.url | default (printf "redis://%s-redis-state.%s.svc:6379/2" $name .Release.Namespace) | quote }}
{{- end }}
{{- end -}}

{{- define "es.kafkaEnv" -}}
{{- if .Values.kafka.enabled }}
- name: KAFKA_BOOTSTRAP_SERVERS
  value: {{ include "es.kafka" . | quote }}
{{- with .Values.kafka.existingSecret }}
{{ include "es.optionalKey" (dict "secret" . "key" "KAFKA_SASL_PASSWORD") }}
{{ include "es.optionalKey" (dict "secret" . "key" "KAFKA_SSL_KEY_PASSWORD") }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "es.modelEnv" -}}
{{- with .Values.models.existingSecret }}
{{- range list "OPENAI_API_KEY" "GOOGLE_API_KEY" "HUGGINGFACE_TOKEN" }}
{{ include "es.optionalKey" (dict "secret" $.Values.models.existingSecret "key" .) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The process's own metrics: a port of the pod, in no Service and no Ingress. */}}
{{- define "es.metricsEnv" -}}
- {name: METRICS_HOST, value: "0.0.0.0"}
- {name: METRICS_PORT, value: "9090"}
{{- end -}}
