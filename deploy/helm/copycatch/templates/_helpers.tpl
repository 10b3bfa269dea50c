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
{{- end -}}
