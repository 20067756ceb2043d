package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	podSpec = "spec/template/spec"
	nodePod = podSpec + "/containers/0"
)

// selects reports whether labels have all that a selector asks for.
func selects(selector, labels map[string]any) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return len(selector) > 0
}

// deployment returns the Deployment whose pods a selector finds.
func deployment(t *testing.T, by manifest, selector string) manifest {
	t.Helper()
	for _, m := range manifests(t) {
		if m.kind() == "Deployment" && selects(by.fields(selector), m.fields("spec/template/metadata/labels")) {
			return m
		}
	}
	t.Fatalf("%s: %s finds no pod: %v", by, selector, by.at(selector))
	return manifest{}
}

// hasPort reports whether a list of ports has one of that name.
func hasPort(ports []any, name any) bool {
	for _, p := range ports {
		if valueAt(p, "name") == name {
			return true
		}
	}
	return false
}

// Whatever points at something points at what is there.
func TestKubernetes_ReferencesLead(t *testing.T) {
	t.Parallel()
	for _, m := range manifests(t) {
		switch m.kind() {
		case "Deployment":
			if !selects(m.fields("spec/selector/matchLabels"), m.fields("spec/template/metadata/labels")) {
				t.Errorf("%s does not find its own pods", m)
			}
			for _, probe := range []string{"startupProbe", "readinessProbe", "livenessProbe"} {
				port := m.at(nodePod + "/" + probe + "/httpGet/port")
				if port != nil && !hasPort(m.list(nodePod+"/ports"), port) {
					t.Errorf("%s: %s asks the port %v", m, probe, port)
				}
			}
		case "Service":
			pods := deployment(t, m, "spec/selector")
			for _, p := range m.list("spec/ports") {
				if !hasPort(pods.list(nodePod+"/ports"), valueAt(p, "targetPort")) {
					t.Errorf("%s leads to the port %v", m, valueAt(p, "targetPort"))
				}
			}
		case "PodDisruptionBudget":
			deployment(t, m, "spec/selector/matchLabels")
		case "HorizontalPodAutoscaler":
			named(t, m.text("spec/scaleTargetRef/kind"), m.text("spec/scaleTargetRef/name"))
		case "NetworkPolicy":
			pods := deployment(t, m, "spec/podSelector/matchLabels")
			for i, rule := range m.list("spec/ingress") {
				for _, p := range valueAt(rule, "ports").([]any) {
					if !hasPort(pods.list(nodePod+"/ports"), valueAt(p, "port")) {
						t.Errorf("%s: rule %d is for the port %v", m, i, valueAt(p, "port"))
					}
				}
			}
		case "Ingress":
			backend := "spec/rules/0/http/paths/0/backend/service/"
			service := named(t, "Service", m.text(backend+"name"))
			if !hasPort(service.list("spec/ports"), m.at(backend+"port/name")) {
				t.Errorf("%s leads to the port %v", m, m.at(backend+"port/name"))
			}
			if got, want := m.text("spec/rules/0/http/paths/0/path"), serveDefault(t, "--path")+"/"; got != want {
				t.Errorf("%s is for %s, the nodes serve %s", m, got, want)
			}
		case "ServiceMonitor":
			found := false
			for _, s := range manifests(t) {
				if s.kind() == "Service" && selects(m.fields("spec/selector/matchLabels"), s.fields("metadata/labels")) {
					found = true
					if !hasPort(s.list("spec/ports"), m.at("spec/endpoints/0/port")) {
						t.Errorf("%s scrapes the port %v", m, m.at("spec/endpoints/0/port"))
					}
				}
			}
			if !found {
				t.Errorf("%s finds no Service", m)
			}
		}
	}
}

// nodeArgs are the arguments of the nodes.
func nodeArgs(m manifest) []string {
	var args []string
	for _, a := range m.list(nodePod + "/args") {
		args = append(args, fmt.Sprint(a))
	}
	return args
}

// The program takes the command line and the variables, and what the probes and
// Prometheus ask for is where they ask for it.
func TestKubernetes_RunsTheProgram(t *testing.T) {
	t.Parallel()
	m := named(t, "Deployment", "dynamicio")
	s := startProgram(t, dynamicio, append(nodeArgs(m), "--admin-listen", "127.0.0.1:0")...)
	on := map[string]string{"http": s.url(), "admin": "http://" + s.admin()}
	for _, probe := range []string{"startupProbe", "readinessProbe", "livenessProbe"} {
		get := nodePod + "/" + probe + "/httpGet/"
		if err := wantStatus(on[m.text(get+"port")]+m.text(get+"path"), http.StatusOK); err != nil {
			t.Errorf("%s: %v", probe, err)
		}
	}
	metrics := named(t, "ServiceMonitor", "dynamicio").text("spec/endpoints/0/path")
	if err := wantStatus(on["admin"]+metrics, http.StatusOK); err != nil {
		t.Error(err)
	}
	if err := wantStatus(on["http"]+metrics, http.StatusNotFound); err != nil {
		t.Errorf("the metrics are for everybody: %v", err)
	}
	help, err := exec.CommandContext(t.Context(), s.bin, "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	env := m.list(nodePod + "/env")
	for _, patched := range manifests(t) {
		if patched.path == "components/config/deployment.yaml" {
			env = append(env, patched.list(nodePod+"/env")...)
		}
	}
	for _, e := range env {
		name := valueAt(e, "name").(string)
		if flag, ours := strings.CutPrefix(name, "DYNAMICIO_"); ours {
			flag = "--" + strings.ToLower(strings.ReplaceAll(flag, "_", "-"))
			if !regexp.MustCompile(`(?m)^\s+` + flag + `\b`).Match(help) {
				t.Errorf("%s stands for %s, which serve does not have", name, flag)
			}
		}
	}
}

// argument is the value of one of the nodes' flags, or its default.
func argument(t *testing.T, m manifest, flag string) string {
	t.Helper()
	for _, arg := range nodeArgs(m) {
		if value, ok := strings.CutPrefix(arg, flag+"="); ok {
			return value
		}
	}
	return serveDefault(t, flag)
}

// Kubernetes kills when the time is over: preStop counts, too.
func TestKubernetes_TimeToDrain(t *testing.T) {
	t.Parallel()
	m := named(t, "Deployment", "dynamicio")
	drain, err := time.ParseDuration(argument(t, m, "--drain-timeout"))
	if err != nil {
		t.Fatal(err)
	}
	preStop := time.Duration(m.number(t, nodePod+"/lifecycle/preStop/sleep/seconds")) * time.Second
	grace := time.Duration(m.number(t, podSpec+"/terminationGracePeriodSeconds")) * time.Second
	if spare := grace - preStop - drain; preStop <= 0 || spare < 5*time.Second {
		t.Errorf("%v for preStop (%v) and draining (%v): %v to spare", grace, preStop, drain, spare)
	}
	// Nobody is sent to a pod that leaves before preStop is over.
	readiness := nodePod + "/readinessProbe/"
	if notice := m.number(t, readiness+"periodSeconds") * m.number(t, readiness+"failureThreshold"); preStop <= time.Duration(notice)*time.Second {
		t.Errorf("a pod is found not ready after %d s, preStop takes %v", notice, preStop)
	}
}

// A restart does not bring Redis back.
func TestKubernetes_LivenessIsNotReadiness(t *testing.T) {
	t.Parallel()
	m := named(t, "Deployment", "dynamicio")
	for probe, want := range map[string]string{"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"} {
		if got := m.text(nodePod + "/" + probe + "/httpGet/path"); got != want {
			t.Errorf("%s asks %q, want %q", probe, got, want)
		}
	}
}

func TestKubernetes_PodsMayLittle(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dynamicio", "dynamicio-redis"} {
		m := named(t, "Deployment", name)
		for field, want := range map[string]any{
			podSpec + "/automountServiceAccountToken":             false,
			podSpec + "/enableServiceLinks":                       false,
			podSpec + "/securityContext/runAsNonRoot":             true,
			podSpec + "/securityContext/seccompProfile/type":      "RuntimeDefault",
			podSpec + "/hostNetwork":                              nil,
			podSpec + "/containers/1":                             nil,
			nodePod + "/securityContext/allowPrivilegeEscalation": false,
			nodePod + "/securityContext/readOnlyRootFilesystem":   true,
			nodePod + "/securityContext/capabilities/drop/0":      "ALL",
			nodePod + "/securityContext/capabilities/add":         nil,
			nodePod + "/securityContext/runAsNonRoot":             nil,
			nodePod + "/securityContext/runAsUser":                nil,
			nodePod + "/securityContext/privileged":               nil,
		} {
			if got := m.at(field); got != want {
				t.Errorf("%s: %s is %v, want %v", m, field, got, want)
			}
		}
		for _, resource := range []string{"requests/cpu", "requests/memory", "limits/memory"} {
			if m.text(nodePod+"/resources/"+resource) == "" {
				t.Errorf("%s: no resources/%s", m, resource)
			}
		}
	}
	m := named(t, "Deployment", "dynamicio")
	var user string
	for _, in := range readDockerfile(t) {
		if in.name == "USER" {
			user = in.args
		}
	}
	if got := fmt.Sprintf("%v:%v", m.at(podSpec+"/securityContext/runAsUser"), m.at(podSpec+"/securityContext/runAsGroup")); got != user {
		t.Errorf("the pod runs as %s, the image as %s", got, user)
	}
	limit, ok := strings.CutSuffix(m.text(nodePod+"/resources/limits/memory"), "Mi")
	for _, e := range m.list(nodePod + "/env") {
		if valueAt(e, "name") != "GOMEMLIMIT" {
			continue
		}
		soft, ok2 := strings.CutSuffix(valueAt(e, "value").(string), "MiB")
		a, err1 := strconv.Atoi(soft)
		b, err2 := strconv.Atoi(limit)
		if !ok || !ok2 || err1 != nil || err2 != nil || a < b*8/10 || a > b*19/20 {
			t.Errorf("GOMEMLIMIT is %v of %s Mi", valueAt(e, "value"), limit)
		}
	}
}

// The images are those of docker-compose.yml.
func TestKubernetes_Images(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	node := strings.ReplaceAll(c.Services["node"].Image, "${VERSION:-devel}", "devel")
	if got := named(t, "Deployment", "dynamicio").text(nodePod + "/image"); got != node {
		t.Errorf("the nodes' image is %s, %s in the compose file", got, node)
	}
	if got := named(t, "Deployment", "dynamicio-redis").text(nodePod + "/image"); got != c.Services["redis"].Image {
		t.Errorf("Redis's image is %s, %s in the compose file", got, c.Services["redis"].Image)
	}
	image := kustomizations(t)["base"].Images[0]
	if image.Name+":"+image.NewTag != node {
		t.Errorf("kustomization.yaml has %s:%s, want %s", image.Name, image.NewTag, node)
	}
}

// Updates and evictions leave enough nodes.
func TestKubernetes_EnoughPodsStay(t *testing.T) {
	t.Parallel()
	m := named(t, "Deployment", "dynamicio")
	if m.at("spec/replicas") != nil {
		t.Error("every kubectl apply would undo what the autoscaler has decided")
	}
	if n := m.number(t, "spec/strategy/rollingUpdate/maxUnavailable"); n != 0 {
		t.Errorf("an update takes %d pods away at once", n)
	}
	if n := named(t, "PodDisruptionBudget", "dynamicio").number(t, "spec/maxUnavailable"); n != 1 {
		t.Errorf("%d pods may be evicted at once", n)
	}
	if n := named(t, "HorizontalPodAutoscaler", "dynamicio").number(t, "spec/minReplicas"); n < 2 {
		t.Errorf("there may be %d pods", n)
	}
	if got := named(t, "Deployment", "dynamicio-redis").text("spec/strategy/type"); got != "Recreate" {
		t.Errorf("Redis is updated by %s: there would be two", got)
	}
}

// The Secret that the nodes want is the one that the trial makes, and its Redis is there.
func TestKubernetes_Trial(t *testing.T) {
	t.Parallel()
	secrets := kustomizations(t)["try"].SecretGenerator
	if len(secrets) != 1 {
		t.Fatalf("%d secrets", len(secrets))
	}
	values := map[string]string{}
	for _, literal := range secrets[0].Literals {
		key, value, _ := strings.Cut(literal, "=")
		values[key] = value
	}
	for _, e := range named(t, "Deployment", "dynamicio").list(nodePod + "/env") {
		ref := valueAt(e, "valueFrom/secretKeyRef")
		if ref != nil && (valueAt(ref, "name") != secrets[0].Name || values[valueAt(ref, "key").(string)] == "") {
			t.Errorf("the trial has no %v", ref)
		}
	}
	redis := named(t, "Service", "dynamicio-redis")
	if want := fmt.Sprintf("redis://%s:%d", redis.text("metadata/name"), redis.number(t, "spec/ports/0/port")); values["redis-url"] != want {
		t.Errorf("the trial's Redis is %s, want %s", values["redis-url"], want)
	}
}

// The configuration file is one, and is mounted where it is looked for.
func TestKubernetes_ConfigFile(t *testing.T) {
	t.Parallel()
	const folder = "components/config"
	generator := kustomizations(t)[folder].ConfigMapGenerator[0]
	file := generator.Files[0]
	bin, err := dynamicio()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), bin, "config", "check", filepath.Join(kubernetes, folder, file)).CombinedOutput(); err != nil {
		t.Errorf("config check: %v\n%s", err, out)
	}
	patch := readYAML(t, filepath.Join(kubernetes, folder, "deployment.yaml"))[0]
	mount := patch.text(nodePod + "/volumeMounts/0/mountPath")
	if got := patch.text(nodePod + "/env/0/value"); got != mount+"/"+file {
		t.Errorf("the file is looked for as %s, and is %s/%s", got, mount, file)
	}
	if patch.at(nodePod+"/volumeMounts/0/name") != patch.at(podSpec+"/volumes/0/name") || patch.text(podSpec+"/volumes/0/configMap/name") != generator.Name {
		t.Error("what is mounted is not the file's ConfigMap")
	}
}

// ingress-nginx cuts nothing off that a node takes its time for.
func TestKubernetes_IngressTimeouts(t *testing.T) {
	t.Parallel()
	heartbeat := serveDuration(t, "--ping-interval") + serveDuration(t, "--ping-timeout")
	for _, m := range manifests(t) {
		if m.path != "components/ingress-nginx/ingress.yaml" {
			continue
		}
		annotations := m.fields("metadata/annotations")
		for _, name := range []string{"proxy-read-timeout", "proxy-send-timeout"} {
			seconds, err := strconv.Atoi(fmt.Sprint(annotations["nginx.ingress.kubernetes.io/"+name]))
			if err != nil || time.Duration(seconds)*time.Second <= heartbeat {
				t.Errorf("%s is %d s, want more than %v (%v)", name, seconds, heartbeat, err)
			}
		}
		if size := annotations["nginx.ingress.kubernetes.io/proxy-body-size"]; size != "2m" || payload(t) > 2<<20 {
			t.Errorf("proxy-body-size is %v for %d bytes", size, payload(t))
		}
		return
	}
	t.Error("there is no Ingress of ingress-nginx")
}
