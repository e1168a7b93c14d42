{{- /* Whether an object is wanted: those of drivers and device plugins that are switched off are not. */ -}}
{{- define "drivers.wanted" -}}
{{- $driver := get .root.Values.drivers .entry.driver | default dict -}}
{{- $plugin := eq .entry.component "device-plugin" -}}
{{- if and (dig "enabled" true $driver) (or (not $plugin) .root.Values.devicePlugins.enabled) -}}yes{{- end -}}
{{- end -}}

{{- /* The secret that is made of .Values.registryLogin. */ -}}
{{- define "drivers.login" -}}
{{- printf "%s-registry" .Release.Name | trunc 63 -}}
{{- end -}}

{{- /* Requirements that nodes fulfil when they run the system that an image was made for. */ -}}
{{- define "drivers.system" -}}
{{- $labels := .root.Values.osAffinity.labels -}}
{{- $terms := list (dict "key" $labels.id "operator" "In" "values" (list .entry.system.id)) -}}
{{- with .entry.system.version -}}
{{- $terms = append $terms (dict "key" $labels.version "operator" "In" "values" (list .)) -}}
{{- end -}}
{{- toYaml $terms -}}
{{- end -}}

{{- /* An object as kmodforge made it, with the values laid over it. */ -}}
{{- define "drivers.object" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $object := .entry.object -}}
{{- $_ := set $object.metadata "namespace" $root.Release.Namespace -}}
{{- $_ := set $object.metadata.labels "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $object.metadata.labels "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63) -}}
{{- $_ := set $object.spec "updateStrategy" $values.updateStrategy -}}
{{- $template := $object.spec.template -}}
{{- $_ := set $template.metadata "labels" (mergeOverwrite (deepCopy $values.podLabels) $template.metadata.labels) -}}
{{- with $values.podAnnotations -}}
{{- $_ := set $template.metadata "annotations" (mergeOverwrite (deepCopy .) (get $template.metadata "annotations" | default dict)) -}}
{{- end -}}
{{- $pod := $template.spec -}}
{{- $_ := set $pod "priorityClassName" $values.priorityClassName -}}
{{- with $values.tolerations -}}
{{- $_ := set $pod "tolerations" . -}}
{{- end -}}
{{- with $values.nodeSelector -}}
{{- $_ := set $pod "nodeSelector" (mergeOverwrite (deepCopy .) (get $pod "nodeSelector" | default dict)) -}}
{{- end -}}
{{- $secrets := $values.imagePullSecrets -}}
{{- if $values.registryLogin.username -}}
{{- $secrets = append $secrets (dict "name" (include "drivers.login" $root)) -}}
{{- end -}}
{{- with $secrets -}}
{{- $_ := set $pod "imagePullSecrets" . -}}
{{- end -}}
{{- if $values.osAffinity.enabled -}}
{{- range $pod.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms -}}
{{- $_ := set . "matchExpressions" (concat (get . "matchExpressions" | default list) (include "drivers.system" $ | fromYamlArray)) -}}
{{- end -}}
{{- end -}}
{{- range concat (get $pod "initContainers" | default list) $pod.containers -}}
{{- if $values.imageRegistry -}}
{{- $_ := set . "image" (regexReplaceAll "^[^/]+" .image $values.imageRegistry) -}}
{{- end -}}
{{- if $values.resources -}}
{{- $_ := set . "resources" $values.resources -}}
{{- end -}}
{{- end -}}
{{- toYaml $object -}}
{{- end -}}
