{{/*
What would leave pods waiting, or have them killed, is said in words before anything is installed.
Most of it is asked of the cluster: without one (helm template, --dry-run=client) that is not checked.
*/}}

{{/* Stops an install that would hang on a volume nobody provides. */}}
{{- define "es.checkStorage" -}}
{{- $wanted := or (include "es.builtIn.cache" .) (include "es.builtIn.state" .) (include "es.builtIn.kafka" .) -}}
{{- if and $wanted .Values.persistence.enabled (not .Values.persistence.storageClass) .Release.IsInstall -}}
{{- /* Without a cluster (helm template, --dry-run=client) lookup finds nothing at all. */ -}}
{{- if lookup "v1" "Namespace" "" "default" -}}
{{- $found := false -}}
{{- range (lookup "storage.k8s.io/v1" "StorageClass" "" "").items -}}
{{- $marks := .metadata.annotations | default dict -}}
{{- if or (eq (get $marks "storageclass.kubernetes.io/is-default-class") "true") (eq (get $marks "storageclass.beta.kubernetes.io/is-default-class") "true") -}}
{{- $found = true -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- fail "\n\nThis cluster has no default StorageClass, so the volumes of Redis and Kafka would wait for ever.\nEither name a class:        --set persistence.storageClass=NAME\nor keep no data (a trial):  --set persistence.enabled=false\nor use servers of your own: redis.cache.url, redis.state.url, kafka.bootstrapServers" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Bytes of "1gb" as Redis writes it, or of "2Gi" as Kubernetes does; "" of what is written otherwise. */}}
{{- define "es.bytes" -}}
{{- $units := dict "kb" 1024 "mb" 1048576 "gb" 1073741824 "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $text := include "es.text" . -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- if and $number (hasKey $units $unit) -}}{{- mulf $number (get $units $unit) | int64 -}}{{- end -}}
{{- end -}}

{{/*
Stops a Redis that would be killed before it refuses. Twice, because its log is rewritten by a fork:
while events come and go meanwhile, nearly every page was seen to be copied.
*/}}
{{- define "es.checkMemory" -}}
{{- range $which := list "cache" "state" -}}
{{- $own := get $.Values.redis $which -}}
{{- $limit := dig "limits" "memory" "" ($own.resources | default dict) -}}
{{- $bytes := include "es.bytes" $limit -}}
{{- if and (include (printf "es.builtIn.%s" $which) $) $bytes -}}
{{- if gt (mul 2 (int64 (include "es.bytes" $own.maxMemory))) (int64 $bytes) -}}
{{- fail (printf "\n\nredis.%s.maxMemory (%s) is more than half of redis.%s.resources.limits.memory (%s).\nA rewrite of its log may need as much again: the server would be killed before it is full.\nLower the first, or raise the second." $which $own.maxMemory $which (include "es.text" $limit)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
A Secret that a value names, and its keys. Call with (dict "root" $ "value" "api.keys.existingSecret"
"name" NAME "keys" (list ...)); "any" true: one of the keys is enough. A namespace that is not there
yet has no ServiceAccount either: its Secrets can't be asked for.
*/}}
{{- define "es.checkSecret" -}}
{{- $ns := .root.Release.Namespace -}}
{{- if and .root.Values.checks.secrets .name (lookup "v1" "ServiceAccount" $ns "default") -}}
{{- $make := printf "kubectl create secret generic %s -n %s" .name $ns -}}
{{- range (ternary (list (first .keys)) .keys (.any | default false)) -}}
{{- $make = printf "%s --from-literal=%s=..." $make . -}}
{{- end -}}
{{- $secret := lookup "v1" "Secret" $ns .name -}}
{{- if not $secret -}}
{{- fail (printf "\n\nThere is no Secret %s in namespace %s, which %s names.\nMake it:  %s" .name $ns .value $make) -}}
{{- end -}}
{{- $there := list -}}
{{- range .keys -}}
{{- if hasKey ($secret.data | default dict) . -}}{{- $there = append $there . -}}{{- end -}}
{{- end -}}
{{- if .any -}}
{{- if not $there -}}
{{- fail (printf "\n\nSecret %s, which %s names, has none of these keys: %s." .name .value (join ", " .keys)) -}}
{{- end -}}
{{- else if lt (len $there) (len .keys) -}}
{{- fail (printf "\n\nSecret %s, which %s names, does not have all of these keys: %s." .name .value (join ", " .keys)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* One release a namespace: its operator takes every EventStream there for its own. */}}
{{- define "es.checkAlone" -}}
{{- if .Release.IsInstall -}}
{{- $release := .Release -}}
{{- range (lookup "apps/v1" "Deployment" .Release.Namespace "").items -}}
{{- $labels := .metadata.labels | default dict -}}
{{- if and (eq (get $labels "app.kubernetes.io/name") "ai-eventstream") (eq (get $labels "app.kubernetes.io/component") "operator") -}}
{{- $other := get $labels "app.kubernetes.io/instance" -}}
{{- if ne $other $release.Name -}}
{{- fail (printf "\n\nRelease %s serves namespace %s already, with every EventStream in it.\nInstall into another one:  helm install %s ... -n OTHER --create-namespace\nor change that release:    helm upgrade %s ... -n %s" $other $release.Namespace $release.Name $other $release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Stops a variable that would stand in a container twice. Which of the two counts would be a matter of
order, and the operator can't apply such a Deployment for the other streams.
*/}}
{{- define "es.checkEnv" -}}
{{- range $file := list "api" "worker" "consumer" "operator" "flower" "tests/answers" -}}
{{- $text := include (printf "%s/%s.yaml" $.Template.BasePath $file) $ -}}
{{- $object := index (regexSplit "\n---\n" $text 2) 0 | fromYaml -}}
{{- $places := "pods.extraEnv" -}}
{{- if hasKey (get $.Values $file | default dict) "pod" }}{{ $places = printf "pods.extraEnv or %s.pod.extraEnv" $file }}{{ end -}}
{{- $pod := dig "spec" "template" "spec" (get $object "spec") $object -}}
{{- $names := list -}}
{{- range ($pod | default dict).containers -}}
{{- range .env -}}
{{- if has .name $names -}}
{{- fail (printf "\n\n%s names %s, which the chart sets itself, from other values.\nTake it out there. The chart's README says which value it comes from, or that it is the stream's own." $places .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Stops names that Kubernetes refuses for Services, after it took half of the rest. */}}
{{- define "es.checkName" -}}
{{- $name := include "es.name" . -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $name) -}}
{{- fail (printf "\n\nThe objects would be called %s-api, and so on: a Service's name begins with a letter, and holds a-z, 0-9 and - only.\nName them otherwise:  --set fullnameOverride=NAME" $name) -}}
{{- end -}}
{{- end -}}
