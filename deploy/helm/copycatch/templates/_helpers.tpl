{{- define "copycatch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "copycatch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "copycatch.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "copycatch.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "copycatch.selector" -}}
app.kubernetes.io/name: {{ include "copycatch.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "copycatch.labels" -}}
{{ include "copycatch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The learner's pods have a name of their own, so that no selector of the workers finds them. */}}
{{- define "copycatch.learnerSelector" -}}
app.kubernetes.io/name: {{ include "copycatch.name" . }}-learner
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "copycatch.learnerLabels" -}}
{{ include "copycatch.learnerSelector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "copycatch.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "copycatch.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "copycatch.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "copycatch.isVolumeOfEach" -}}
{{- if not (or .Values.snapshots.existingClaim .Values.snapshots.url) -}}true{{- end -}}
{{- end -}}

{{- define "copycatch.check" -}}
{{- if and (include "copycatch.isVolumeOfEach" .) (or (gt (int .Values.replicaCount) 1) .Values.keda.enabled) -}}
{{- fail "more than one worker needs snapshots that all of them reach, or a partition that moves forgets its accounts: set snapshots.existingClaim (ReadWriteMany) or snapshots.url" -}}
{{- end -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository: name the image that you built with deploy/Dockerfile" -}}
{{- end -}}
{{- range $name := list "policy" "http" -}}
{{- if hasKey $.Values.settings $name -}}
{{- fail (printf "settings.%s: the chart sets this itself" $name) -}}
{{- end -}}
{{- end -}}
{{- $learner := default dict .Values.settings.learner -}}
{{- if .Values.learner.enabled -}}
{{- if not (and $learner.inputs $learner.versions) -}}
{{- fail "learner.enabled: name the topics settings.learner.inputs and settings.learner.versions" -}}
{{- end -}}
{{- if include "copycatch.isVolumeOfEach" . -}}
{{- fail "learner.enabled: workers and learner need snapshots that all of them reach: set snapshots.existingClaim (ReadWriteMany) or snapshots.url" -}}
{{- end -}}
{{- else if and $learner.inputs (not .Values.learner.elsewhere) -}}
{{- fail "settings.learner: without learner.enabled nobody learns, and no account gets a score; enable it, or say learner.elsewhere: true where another release runs it" -}}
{{- end -}}
{{- end -}}

{{- define "copycatch.networkRules" -}}
policyTypes: [Ingress, Egress]
ingress:
  - from: {{- toYaml .Values.networkPolicy.metricsFrom | nindent 6 }}
    ports: [{protocol: TCP, port: http}]
egress:
  - ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
  - ports:
      {{- range .Values.networkPolicy.kafkaPorts }}
      - {protocol: TCP, port: {{ . }}}
      {{- end }}
    {{- with .Values.networkPolicy.kafkaTo }}
    to: {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- with .Values.networkPolicy.extraEgress }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end -}}
