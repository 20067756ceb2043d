package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
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
	s := startPod(t, "base")
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

// podSecrets are the keys of the Secret that the nodes want, with values to try.
var podSecrets = map[string]string{"status-token": "a-token-of-the-status-page", "client-tokens": "one-clients-token\nanother-clients-token\n"}

// mountOf is where the nodes have a volume.
func mountOf(t *testing.T, m manifest, volume string) string {
	t.Helper()
	for _, mount := range m.list(nodePod + "/volumeMounts") {
		if valueAt(mount, "name") == volume {
			return fmt.Sprint(valueAt(mount, "mountPath"))
		}
	}
	t.Fatalf("%s mounts no %s", m, volume)
	return ""
}

// startPod runs a node as the base has it, with the configuration of a kustomization, a
// Secret and a Redis; only where these are and what it listens on is the test's.
func startPod(t *testing.T, folder string) *server {
	t.Helper()
	m := named(t, "Deployment", "dynamicio")
	dir := t.TempDir()
	secrets := map[string]string{"redis-url": redistest.Start(t).URL()}
	for key, value := range podSecrets {
		secrets[key] = value
	}
	for key, value := range secrets {
		if err := os.WriteFile(filepath.Join(dir, key), []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := kustomizations(t)[folder].ConfigMapGenerator[0].Files[0]
	text := strings.ReplaceAll(render(t, filepath.Join(kubernetes, folder, file)), mountOf(t, m, "secrets"), dir)
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all := nodeArgs(m)
	for i := range all {
		all[i] = strings.ReplaceAll(all[i], mountOf(t, m, "secrets"), dir)
		all[i] = strings.ReplaceAll(all[i], mountOf(t, m, "config"), dir)
	}
	s := startProgram(t, dynamicio, append(all, "--admin-listen", "127.0.0.1:0")...)
	eventually(t, "the node is ready", func() error { return wantStatus(s.url()+"/readyz", http.StatusOK) })
	return s
}

// connectPolling asks to be let into a namespace, and returns the node's answer.
func connectPolling(t *testing.T, url, nsp, auth string) string {
	t.Helper()
	status, body, _, err := do(http.MethodGet, url+engine, "", nil)
	var open struct{ SID string }
	if err == nil {
		err = json.Unmarshal([]byte(strings.TrimPrefix(body, "0")), &open)
	}
	if err != nil || status != http.StatusOK {
		t.Fatalf("handshake: %d %s %v", status, body, err)
	}
	url += engine + "&sid=" + open.SID
	if status, body, _, err = do(http.MethodPost, url, "40"+nsp+","+auth, nil); err != nil || status != http.StatusOK {
		t.Fatalf("POST: %d %s %v", status, body, err)
	}
	status, body, _, err = do(http.MethodGet, url, "", nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("GET: %d %s %v", status, body, err)
	}
	return body
}

// Who applies the base has no open relay on the network.
func TestKubernetes_BaseIsNotOpen(t *testing.T) {
	t.Parallel()
	url := startPod(t, "base").url()
	for auth, want := range map[string]string{
		"": `44/chat,{"message":`, `{"token":"a guess"}`: `44/chat,{"message":`,
		`{"token":"one-clients-token"}`: `40/chat,{"sid":`, `{"token":"another-clients-token"}`: `40/chat,{"sid":`,
	} {
		if got := connectPolling(t, url, "/chat", auth); !strings.HasPrefix(got, want) {
			t.Errorf("with the auth %s a client hears %s, want %s", auth, got, want)
		}
	}
	if err := wantStatus(url+"/socket.io/status.json", http.StatusUnauthorized); err != nil {
		t.Error(err)
	}
	example := startPod(t, "components/config").url()
	if got := connectPolling(t, example, "/chat", ""); !strings.HasPrefix(got, `44/chat,`) {
		t.Errorf("with the example a client without a token hears %s", got)
	}
	if got := connectPolling(t, example, "/room/1", ""); !strings.HasPrefix(got, `40/room/1,{"sid":`) {
		t.Errorf("with the example a client hears %s in a room that is open", got)
	}
}

// The lines that the file names open it, and no others.
func TestKubernetes_FewLinesOpenTheBase(t *testing.T) {
	t.Parallel()
	text := render(t, kubernetes+"/base/dynamicio.yaml",
		change{"    connect:\n      tokens-file: /run/secrets/dynamicio/client-tokens\n", "    connect: none\n", 1})
	file := filepath.Join(t.TempDir(), "dynamicio.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "--config", file)
	if got := connectPolling(t, s.url(), "/chat", ""); !strings.HasPrefix(got, `40/chat,{"sid":`) {
		t.Errorf("a client hears %s", got)
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

// Redis being unavailable restarts no pod and takes none out of the Service, as the README
// promises; a pod that has never met Redis does not get in.
func TestKubernetes_ProbesLeaveRedisOut(t *testing.T) {
	t.Parallel()
	m := named(t, "Deployment", "dynamicio")
	for probe, want := range map[string]string{"startupProbe": "/readyz", "livenessProbe": "/healthz", "readinessProbe": "/readyz?exclude=redis"} {
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
	m := named(t, "Deployment", "dynamicio")
	if got := m.text(podSpec + "/volumes/1/secret/secretName"); got != secrets[0].Name {
		t.Errorf("the nodes want the Secret %q, the trial makes %q", got, secrets[0].Name)
	}
	folder := mountOf(t, m, "secrets") + "/"
	config := render(t, kubernetes+"/base/dynamicio.yaml")
	for _, of := range append(nodeArgs(m), strings.Split(config, "\n")...) {
		if _, key, ok := strings.Cut(of, folder); ok && values[key] == "" {
			t.Errorf("the trial's Secret has no %q", key)
		}
	}
	for _, token := range []string{"status-token", "client-tokens"} {
		if len(values[token]) < 16 {
			t.Errorf("%s is %q, which is warned of", token, values[token])
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
	base := kustomizations(t)["base"].ConfigMapGenerator[0]
	if generator.Name != base.Name || generator.Behavior != "replace" || base.Behavior != "" {
		t.Errorf("%s is not in place of the base's: %+v, %+v", folder, generator, base)
	}
	if _, err := os.Stat(filepath.Join(kubernetes, folder, file)); err != nil {
		t.Error(err)
	}
	m := named(t, "Deployment", "dynamicio")
	mount := mountOf(t, m, "config")
	if !slices.Contains(nodeArgs(m), "--config="+mount+"/"+base.Files[0]) || file != base.Files[0] {
		t.Errorf("the nodes are told %q; the file is %s/%s", nodeArgs(m), mount, file)
	}
	if m.text(podSpec+"/volumes/0/configMap/name") != base.Name {
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
