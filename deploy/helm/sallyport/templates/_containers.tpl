{{- define "sallyport.pod" -}}
serviceAccountName: {{ include "sallyport.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false # a Service called sallyport would be told as SALLYPORT_PORT
terminationGracePeriodSeconds: 30
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sallyport.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "sallyport.container" -}}
- name: sallyport
  image: {{ include "sallyport.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if eq .Values.envoy.form "pod" }}
  restartPolicy: Always # starts before Envoy, and ends after it
  {{- end }}
  args:
  - serve
  - --config=/etc/sallyport/sallyport.yaml
  {{- if ne .Values.envoy.form "none" }}
  - --xds
  - --envoy-grpc={{ include "sallyport.grpc" . }}
  - --envoy-http={{ include "sallyport.http" . }}
  - --envoy-listen=0.0.0.0:10000
  - --envoy-trusted-hops={{ .Values.envoy.trustedHops }}
  {{- end }}
  ports:
  {{- if ne .Values.envoy.form "pod" }}
  - {name: grpc, containerPort: 9191}
  {{- end }}
  - {name: http, containerPort: 9192}
  # Alive is who answers; ready, whose store answers as well.
  startupProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1, failureThreshold: 60}
  livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 10, timeoutSeconds: 5}
  readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 5, timeoutSeconds: 2}
  lifecycle: {preStop: {sleep: {seconds: 5}}} # until nobody is sent here any more
  resources: {{- toYaml .Values.resources | nindent 4 }}
  securityContext: {{- include "sallyport.confined" . | nindent 4 }}
  volumeMounts:
  # Folders, and not single files: those would not change when the objects do.
  - {name: config, mountPath: /etc/sallyport, readOnly: true}
  - {name: secrets, mountPath: /run/secrets/sallyport, readOnly: true}
  {{- if include "sallyport.single" . }}
  - {name: store, mountPath: /var/lib/sallyport}
  {{- end }}
  - {name: run, mountPath: /run/sallyport}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "sallyport.volumes" -}}
- name: config
  configMap: {name: {{ include "sallyport.name" . }}}
- name: secrets
  secret: {secretName: {{ include "sallyport.secret" . }}, defaultMode: 0440}
{{- if include "sallyport.single" . }}
- name: store
  persistentVolumeClaim: {claimName: {{ default (include "sallyport.name" .) .Values.persistence.existingClaim }}}
{{- end }}
- {name: run, emptyDir: {}}
- {name: tmp, emptyDir: {}}
{{- end }}

{{- define "sallyport.envoyContainer" -}}
- name: envoy
  image: {{ printf "%s:%s" .Values.envoy.image.repository .Values.envoy.image.tag | quote }}
  imagePullPolicy: {{ .Values.envoy.image.pullPolicy }}
  args: [--config-path, /etc/envoy/envoy.yaml, --service-node, $(POD_NAME), --disable-hot-restart, --drain-time-s, "10"]
  env:
  - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  ports:
  - {name: gateway, containerPort: 10000}
  # It listens once Sallyport has told it what to do.
  readinessProbe: {tcpSocket: {port: gateway}, periodSeconds: 2}
  lifecycle: {preStop: {sleep: {seconds: 10}}}
  resources: {{- toYaml .Values.envoy.resources | nindent 4 }}
  securityContext: {{- include "sallyport.confined" . | nindent 4 }}
  volumeMounts:
  - {name: envoy, mountPath: /etc/envoy, readOnly: true}
  {{- if eq .Values.envoy.form "pod" }}
  - {name: run, mountPath: /run/sallyport}
  {{- end }}
{{- end }}
