package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dynamicio/dynamicio/cluster/redistest"
)

// prometheus is Debian's, run for one test.
type prometheus struct {
	t   *testing.T
	url string
}

// startPrometheus scrapes the targets once a second, and evaluates the alert rules
// that ship.
func startPrometheus(t *testing.T, targets ...string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s}\nrule_files: [%q]\n"+
		"scrape_configs: [{job_name: dynamicio, static_configs: [{targets: [%s]}]}]\n", rules, strings.Join(targets, ", "))
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "config", file)
	listen := "127.0.0.1:" + freePort(t)
	p := startBalancer(t, listen, installed(t, "prometheus"), "--config.file", file,
		"--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", listen, "--log.level", "warn")
	return &prometheus{t, p.url}
}

// get asks the HTTP API, and decodes what is in the answer's field "data".
func (p *prometheus) get(path string, q url.Values, data any) error {
	r, err := http.Get(p.url + "/api/v1/" + path + "?" + q.Encode())
	if err != nil {
		return err
	}
	defer r.Body.Close()
	answer := struct {
		Status, Error string
		Warnings      []string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %d: %w", path, r.StatusCode, err)
	}
	if answer.Status != "success" || len(answer.Warnings) > 0 {
		return fmt.Errorf("%s %v: %s %v", path, q, answer.Error, answer.Warnings)
	}
	return nil
}

// sample is one sample of an instant vector.
type sample struct {
	Metric map[string]string
	Value  [2]any // time, and the value as text
}

func (s sample) value() float64 {
	text, _ := s.Value[1].(string)
	v, _ := strconv.ParseFloat(text, 64)
	return v
}

func (p *prometheus) query(expr string) ([]sample, error) {
	var data struct {
		ResultType string
		Result     []sample
	}
	err := p.get("query", url.Values{"query": {expr}}, &data)
	return data.Result, err
}

// becomes waits until an expression has one sample, with that value.
func (p *prometheus) becomes(expr string, want float64) {
	p.t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var got []sample
		if got, err = p.query(expr); err != nil {
			continue
		}
		if len(got) == 1 && got[0].value() == want {
			return
		}
		err = fmt.Errorf("it is %v", got)
	}
	p.t.Fatalf("%s does not become %v: %v", expr, want, err)
}

// A real Prometheus scrapes three nodes, one of them on its admin address, and
// understands all that the dashboard and the alerts ask.
func TestMetrics_PrometheusScrapesACluster(t *testing.T) {
	redis := redistest.Start(t)
	var nodes []*server
	var targets []string
	for i := range 3 {
		flags := []string{"--redis", redis.URL(), "--node-id", fmt.Sprint("n", i), "--node-ttl", "2s", "--lease-ttl", "1s"}
		if i == 2 {
			flags = append(flags, "--admin-listen", "127.0.0.1:0", "--config", filepath.Join(configDir(t, map[string]string{"node.yaml": "namespaces:\n  - match: \"*\"\n    connect: none\n    allow: all\n    limits: none\n"}), "node.yaml"))
		}
		s := startServer(t, flags...)
		nodes, targets = append(nodes, s), append(targets, s.addr)
	}
	targets[2] = nodes[2].admin()
	if r, err := http.Get(nodes[2].url() + "/metrics"); err != nil || r.Body.Close() != nil || r.StatusCode != http.StatusNotFound {
		t.Errorf("/metrics is on the main address, too, where it has one of its own: %v %v", r, err)
	}
	p := startPrometheus(t, targets...)

	var sockets []*socket
	for i := range 12 {
		s, err := dialSocket(nodes[i%3].addr, fmt.Sprint("/", i%4), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.leave()
		sockets = append(sockets, s)
	}
	for _, s := range sockets {
		if _, err := s.ask("broadcast", "hello", 1); err != nil {
			t.Fatal(err)
		}
	}
	p.becomes("sum(up)", 3)
	p.becomes("sum(dynamicio_sockets)", 12)
	p.becomes(`sum(dynamicio_connections{transport="websocket"})`, 12)
	p.becomes("sum(dynamicio_received_events_total)", 12)
	// Of each namespace's three, the two other than the sender hear each broadcast.
	p.becomes("sum(dynamicio_delivered_events_total)", 24)
	p.becomes("sum(dynamicio_ready)", 3)
	p.becomes("sum by (cluster) (dynamicio_lease_held * on (job, instance) group_left (cluster) dynamicio_node_info)", 1)
	p.becomes("sum(dynamicio_bus_connected)", 3)

	p.becomes("min(count_over_time(up[1m])) >= bool 4", 1) // a rate needs two
	p.evaluatesDashboard()
	p.evaluatesAlerts()
	for _, target := range targets {
		checkMetrics(t, "http://"+target+"/metrics")
	}

	// A node that is gone shows at once, and its alert waits to fire.
	nodes[0].kill()
	p.becomes("sum(up)", 2)
	p.becomes(`count(ALERTS{alertname="DynamicioNodeDown", alertstate="pending"})`, 1)
}

// checkMetrics has promtool read what Prometheus gets, and judge names and help texts.
func checkMetrics(t *testing.T, url string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	check := exec.CommandContext(t.Context(), installed(t, "promtool"), "check", "metrics")
	check.Stdin = r.Body
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics, of %s: %v\n%s", url, err, out)
	}
}

// evaluatesDashboard asks what the dashboard asks, and wants an answer to each.
func (p *prometheus) evaluatesDashboard() {
	p.t.Helper()
	for where, expr := range readDashboard(p.t).expressions() {
		got, err := p.query(expr)
		if err != nil {
			p.t.Errorf("panel %s: %v", where, err)
		} else if len(got) == 0 && !strings.HasSuffix(expr, "== 0") { // which has something to show when a reload failed
			p.t.Errorf("panel %s shows nothing: %s", where, expr)
		}
	}
}

// evaluatesAlerts holds that the rules are loaded, were evaluated without an error, and
// that none fires.
func (p *prometheus) evaluatesAlerts() {
	p.t.Helper()
	var wrong []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if wrong = p.unevaluated(); len(wrong) == 0 {
			return
		}
	}
	p.t.Errorf("alerts: %s", strings.Join(wrong, "; "))
}

func (p *prometheus) unevaluated() (wrong []string) {
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	if err := p.get("rules", nil, &data); err != nil {
		return []string{err.Error()}
	}
	n := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			if n++; r.Health != "ok" || r.LastError != "" || r.State == "firing" {
				wrong = append(wrong, fmt.Sprintf("%s is %s and %s %s", r.Name, r.Health, r.State, r.LastError))
			}
		}
	}
	if want := len(readAlerts(p.t)); n != want {
		wrong = append(wrong, fmt.Sprintf("%d rules are loaded, want %d", n, want))
	}
	return wrong
}
