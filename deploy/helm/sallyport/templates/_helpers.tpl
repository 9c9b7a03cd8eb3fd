{{- define "sallyport.name" -}}
{{- if contains "sallyport" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-sallyport" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "sallyport.selector" -}}
app.kubernetes.io/name: sallyport
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sallyport.envoySelector" -}}
app.kubernetes.io/name: sallyport-envoy
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sallyport.labels" -}}
{{ include "sallyport.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "sallyport.envoyLabels" -}}
{{ include "sallyport.envoySelector" . }}
{{- end }}

{{- define "sallyport.secret" -}}
{{ default (include "sallyport.name" .) .Values.secret.name }}
{{- end }}

{{- define "sallyport.host" -}}
{{ include "sallyport.name" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{- define "sallyport.image" -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
{{- end }}

{{- /* Where Envoy reaches Sallyport: in the same pod by a socket. */ -}}
{{- define "sallyport.grpc" -}}
{{ if eq .Values.envoy.form "pod" }}unix:///run/sallyport/sallyport.sock{{ else }}{{ include "sallyport.host" . }}:9191{{ end }}
{{- end }}

{{- define "sallyport.http" -}}
{{ if eq .Values.envoy.form "pod" }}127.0.0.1:9192{{ else }}{{ include "sallyport.host" . }}:9192{{ end }}
{{- end }}

{{- /* The keys are in one file, which one process has. */ -}}
{{- define "sallyport.single" -}}
{{ if hasPrefix "sqlite:" (toString (fromYaml .Values.config).store) }}true{{ end }}
{{- end }}

{{- /* Where the configuration reads a secret from: the server would not start without a pepper, and print a token of its own. */ -}}
{{- define "sallyport.checkSecret" -}}
{{- if not (and (kindIs "map" .of) (regexMatch "^/run/secrets/sallyport/[-._a-zA-Z0-9]+$" (toString .of.file))) }}
{{- fail (printf "config: %s must be {file: /run/secrets/sallyport/%s}: there the Secret is" .path .key) }}{{ end }}
{{- if and .data (not (index .data (base .of.file))) }}
{{- fail (printf "secret.data.%s: %s is read from there: %s" (base .of.file) .path .hint) }}{{ end }}
{{- end }}

{{- /* The Secret's keys of peppers, the first one that is used, and of the admin's token. */ -}}
{{- define "sallyport.peppers" -}}
{{- $c := (fromYaml .Values.config).pepper }}
{{- range $i, $p := ternary $c (list $c) (kindIs "slice" $c) }}{{ if $i }} {{ end }}{{ base $p.file }}{{ end }}
{{- end }}

{{- define "sallyport.adminToken" -}}
{{ base (fromYaml .Values.config).admin.token.file }}
{{- end }}

{{- /* What a configuration must say of itself, to fit what is mounted. */ -}}
{{- define "sallyport.check" -}}
{{- if not .Values.config }}{{ fail "config: give sallyport.yaml, such as: --set-file config=sallyport.yaml" }}{{ end }}
{{- $c := fromYaml .Values.config }}
{{- if $c.Error }}{{ fail (printf "config: %s" $c.Error) }}{{ end }}
{{- $grpc := ternary "unix:///run/sallyport/sallyport.sock" "0.0.0.0:9191" (eq .Values.envoy.form "pod") }}
{{- $listen := ternary $c.listen dict (kindIs "map" $c.listen) }}
{{- $asked := ternary $listen.grpc (list $listen.grpc) (kindIs "slice" $listen.grpc) }}{{/* one address may stand without brackets */}}
{{- if not (or (has $grpc $asked) (and (eq $grpc "0.0.0.0:9191") (has "[::]:9191" $asked))) }}
{{- fail (printf "config: listen.grpc must hold %q, where Envoy asks; it is %s" $grpc (toJson $listen.grpc)) }}{{ end }}
{{- if not (has (toString $listen.http) (list "0.0.0.0:9192" "[::]:9192")) }}{{ fail (printf "config: listen.http must be \"0.0.0.0:9192\", where Kubernetes asks whether it is ready; it is %s" (toJson $listen.http)) }}{{ end }}
{{- $store := toString $c.store }}
{{- if not (regexMatch "^(sqlite|postgres|postgresql)://" $store) }}{{ fail "config: store must be named, such as sqlite:///var/lib/sallyport/sallyport.db" }}{{ end }}
{{- if and (include "sallyport.single" .) (not (hasPrefix "sqlite:///var/lib/sallyport/" $store)) }}{{ fail (printf "config: store must be below sqlite:///var/lib/sallyport/, which is the volume; it is %q" $store) }}{{ end }}
{{- if and (include "sallyport.single" .) (gt (int .Values.replicas) 1) }}{{ fail (printf "replicas: %d, but the store is a file of one process: 1, or a store that replicas share" (int .Values.replicas)) }}{{ end }}
{{- if and (include "sallyport.single" .) .Values.autoscaling.enabled }}{{ fail "autoscaling.enabled: the store is a file of one process: false, or a store that replicas share" }}{{ end }}
{{- range (ternary $c.pepper (list $c.pepper) (and (kindIs "slice" $c.pepper) (gt (len $c.pepper) 0))) }}
{{- include "sallyport.checkSecret" (dict "path" "pepper" "key" "pepper" "of" . "data" $.Values.secret.data "hint" "at least 32 bytes, such as from: openssl rand -base64 32") }}{{ end }}
{{- include "sallyport.checkSecret" (dict "path" "admin.token" "key" "admin-token" "of" (ternary $c.admin dict (kindIs "map" $c.admin)).token "data" .Values.secret.data "hint" "such as from: openssl rand -hex 32") }}
{{- if and (gt (int .Values.envoy.trustedHops) 0) (ne .Values.envoy.form "none") .Values.networkPolicy.enabled (not .Values.networkPolicy.gateway) }}
{{- fail (printf "envoy.trustedHops is %d, and networkPolicy.gateway names nobody: whoever came to Envoy by another way than the balancer would write its own address. Name the balancer there, such as {ipBlock: {cidr: 10.0.0.0/24}}" (int .Values.envoy.trustedHops)) }}{{ end }}
{{- end }}
