{{/* The pod of a role: `role` is the command (run, learn), `resources` those of its container. */}}
{{- define "copycatch.pod" -}}
{{- $root := .root -}}
serviceAccountName: {{ include "copycatch.serviceAccount" $root }}
automountServiceAccountToken: false
# With links, a Service of this name would set COPYCATCH_PORT and others, which are no settings of ours.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $root.Values.drainSeconds }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
containers:
  - name: copycatch
    image: {{ include "copycatch.image" $root | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args: [{{ .role }}]
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    env:
      - name: COPYCATCH_SETTINGS
        value: /etc/copycatch/settings/settings.yaml
      - name: COPYCATCH_POLICY
        value: /etc/copycatch/policy/policy.yaml
      - name: COPYCATCH_SNAPSHOTS__DIRECTORY
        value: {{ default "/var/lib/copycatch" $root.Values.snapshots.url | quote }}
      - name: COPYCATCH_HTTP__BIND
        value: "0.0.0.0"
      # Static membership: a worker that restarts keeps its partitions.
      - name: COPYCATCH_KAFKA__INSTANCE_ID
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      {{- with $root.Values.processor }}
      {{- if .name }}
      - name: NUMBA_CPU_NAME
        value: {{ .name | quote }}
      - name: NUMBA_CPU_FEATURES
        value: {{ .features | quote }}
      {{- end }}
      {{- end }}
      {{- with $root.Values.extraEnv }}{{ toYaml . | nindent 6 }}{{ end }}
    ports:
      - name: http
        containerPort: 9464
    startupProbe: # a first start without compiled code takes up to two minutes
      httpGet: {path: /live, port: http}
      periodSeconds: 5
      failureThreshold: 36
    livenessProbe:
      httpGet: {path: /live, port: http}
      periodSeconds: 15
      timeoutSeconds: 5
      failureThreshold: 4
    readinessProbe: # a learner that stands by has no partition, and is as it should be
      httpGet: {path: {{ eq .role "learn" | ternary "/live" "/ready" }}, port: http}
      periodSeconds: 10
      timeoutSeconds: 5
    resources: {{- toYaml .resources | nindent 6 }}
    volumeMounts:
      - name: settings
        mountPath: /etc/copycatch/settings
        readOnly: true
      # The folder, not the file: what is mounted by subPath is never written again.
      - name: policy
        mountPath: /etc/copycatch/policy
        readOnly: true
      - name: state
        mountPath: /var/lib/copycatch
      - name: tmp
        mountPath: /tmp
      {{- if $root.Values.secretName }}
      - name: secrets
        mountPath: /run/secrets/copycatch
        readOnly: true
      {{- end }}
volumes:
  - name: settings
    configMap:
      name: {{ include "copycatch.fullname" $root }}-settings
  - name: policy
    configMap:
      name: {{ default (printf "%s-policy" (include "copycatch.fullname" $root)) $root.Values.policyConfigMap }}
  - name: tmp
    emptyDir: {sizeLimit: 512Mi}
  {{- if $root.Values.secretName }}
  - name: secrets
    secret:
      secretName: {{ $root.Values.secretName }}
      defaultMode: 0440
  {{- end }}
  {{- if $root.Values.snapshots.existingClaim }}
  - name: state
    persistentVolumeClaim:
      claimName: {{ $root.Values.snapshots.existingClaim }}
  {{- else if $root.Values.snapshots.url }}
  - name: state
    emptyDir: {}
  {{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.topologySpreadConstraints }}
topologySpreadConstraints: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
