package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	alertRules = "../deploy/alerts.yml"
	alertTests = "../deploy/alerts_test.yml"
	dashboard  = "../deploy/grafana-dashboard.json"
	runbook    = "../deploy/RUNBOOK.md"
	reference  = "../deploy/REFERENCE.md"
	runbookURL = "https://github.com/dynamicio/dynamicio/blob/main/deploy/RUNBOOK.md#"
)

// promtool runs Debian's promtool, which has to be content.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), installed(t, "promtool"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// alert is one alert rule of the file that ships.
type alert struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

func readAlerts(t *testing.T) []alert {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alert } }
	data, err := os.ReadFile(alertRules)
	if err == nil {
		err = yaml.Unmarshal(data, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no alerts", alertRules)
	}
	return all
}

func TestMetrics_AlertRules(t *testing.T) {
	promtool(t, "check", "rules", alertRules)
	promtool(t, "test", "rules", alertTests)

	cases, err := os.ReadFile(alertTests)
	if err != nil {
		t.Fatal(err)
	}
	sections := anchors(t, runbook)
	for _, a := range readAlerts(t) {
		anchor, ok := strings.CutPrefix(a.Annotations["runbook_url"], runbookURL)
		if !ok || anchor != strings.ToLower(a.Alert) || !sections[anchor] {
			t.Errorf("%s has the runbook %q, want its section of %s", a.Alert, a.Annotations["runbook_url"], runbook)
		}
		delete(sections, anchor)
		for _, key := range []string{"summary", "description"} {
			if a.Annotations[key] == "" {
				t.Errorf("%s has no %s", a.Alert, key)
			}
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) {
			t.Errorf("%s has the severity %q", a.Alert, a.Labels["severity"])
		}
		if !strings.Contains(string(cases), `alertname="`+a.Alert+`"`) {
			t.Errorf("%s fires in no case of %s", a.Alert, alertTests)
		}
		knownMetrics(t, a.Alert, a.Expr)
	}
	for anchor := range sections {
		if strings.HasPrefix(anchor, "dynamicio") {
			t.Errorf("%s has the section %q, which is of no alert", runbook, anchor)
		}
	}
}

var (
	heading  = regexp.MustCompile("(?m)^#+ (.+)$")
	noAnchor = regexp.MustCompile("[^a-z0-9 _-]")
	mdLink   = regexp.MustCompile(`\]\(([^)#\s]*)#([^)\s]+)\)`)
)

// anchors are those that GitHub gives the headings of a Markdown file.
func anchors(t *testing.T, path string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, m := range heading.FindAllSubmatch(text, -1) {
		all[strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(string(m[1])), ""), " ", "-")] = true
	}
	return all
}

// A link to a section leads to one.
func TestRunbook_LinksLead(t *testing.T) {
	for _, path := range []string{runbook, "../deploy/README.md", "../deploy/REFERENCE.md", "../README.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mdLink.FindAllStringSubmatch(string(text), -1) {
			to := path
			if strings.Contains(m[1], "://") {
				continue
			} else if m[1] != "" {
				to = filepath.Join(filepath.Dir(path), m[1])
			}
			if !anchors(t, to)[m[2]] {
				t.Errorf("%s links to %s#%s, which is not there", path, to, m[2])
			}
		}
	}
}

var metricName = regexp.MustCompile(`\bdynamicio_[a-z0-9_]+`)

// metricRow is a row of the reference's table: name, type, labels with their values.
var metricRow = regexp.MustCompile("(?m)^\\| `(dynamicio_[a-z0-9_]+)` \\| (counter|gauge|histogram) \\| ([^|]*) \\|")

// documentedMetrics are those of the reference, which a test of the program holds against
// the code: the program has more than its packages. The values are those of any label.
func documentedMetrics(t *testing.T) (names, values map[string]bool) {
	t.Helper()
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	names, values = map[string]bool{}, map[string]bool{}
	for _, m := range metricRow.FindAllStringSubmatch(string(text), -1) {
		if m[2] != "histogram" {
			names[m[1]] = true
		} else {
			names[m[1]+"_bucket"], names[m[1]+"_sum"], names[m[1]+"_count"] = true, true, true
		}
		for label := range strings.SplitSeq(m[3], "; ") {
			name, all, _ := strings.Cut(label, ": ")
			for v := range strings.SplitSeq(all, ", ") {
				values[strings.Trim(name, "`")+"="+v] = true
			}
		}
	}
	if len(names) < 50 {
		t.Fatalf("%s has %d metrics", reference, len(names))
	}
	return names, values
}

// knownMetrics holds the names in an expression, and the labels and values that it
// selects by, against what nodes have.
func knownMetrics(t *testing.T, where, expr string) {
	t.Helper()
	names, values := documentedMetrics(t)
	for _, name := range metricName.FindAllString(expr, -1) {
		if !names[name] {
			t.Errorf("%s has %s, which no node has", where, name)
		}
	}
	for _, m := range labelMatch.FindAllStringSubmatch(expr, -1) {
		for v := range strings.SplitSeq(m[2], "|") {
			if !strings.HasPrefix(v, "$") && !values[m[1]+"="+v] {
				t.Errorf("%s selects %s=%q, which no metric has", where, m[1], v)
			}
		}
	}
}

var labelMatch = regexp.MustCompile(`(\w+)=~?"([^"]*)"`)

// panel is what the tests know of a panel of the dashboard.
type panel struct {
	ID         int
	Title      string
	Type       string
	Datasource *struct{ UID string }
	GridPos    struct{ H, W, X, Y int }
	Targets    []struct {
		Expr       string
		RefID      string
		Datasource struct{ UID string }
	}
}

// board is the dashboard that ships.
type board struct {
	Title      string
	UID        string
	Panels     []panel
	Templating struct {
		List []struct {
			Name, Type, Definition string
			Query                  any
		}
	}
}

func readDashboard(t *testing.T) board {
	t.Helper()
	var b board
	data, err := os.ReadFile(dashboard)
	if err == nil {
		err = json.Unmarshal(data, &b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// variables are what Grafana puts into the expressions of the dashboard, with all chosen.
var variables = strings.NewReplacer("$__rate_interval", "1m", "$job", ".+", "$cluster", ".+", "$instance", ".+")

// expressions are those of the dashboard, by panel, as Grafana asks Prometheus.
func (b board) expressions() map[string]string {
	all := make(map[string]string)
	for _, p := range b.Panels {
		for _, q := range p.Targets {
			all[fmt.Sprintf("%s %d %s", p.Title, p.ID, q.RefID)] = variables.Replace(q.Expr)
		}
	}
	return all
}

func TestMetrics_Dashboard(t *testing.T) {
	b := readDashboard(t)
	if b.Title == "" || b.UID == "" {
		t.Error("the dashboard has no title, or no uid")
	}
	for _, v := range []string{"datasource", "job", "cluster", "instance"} {
		if !slices.ContainsFunc(b.Templating.List, func(have struct {
			Name, Type, Definition string
			Query                  any
		}) bool {
			return have.Name == v
		}) {
			t.Errorf("there is no variable %q", v)
		}
	}
	for _, v := range b.Templating.List {
		knownMetrics(t, "variable "+v.Name, v.Definition)
	}
	ids := make(map[int]bool)
	for i, p := range b.Panels {
		if ids[p.ID] {
			t.Errorf("the id %d is there twice", p.ID)
		}
		ids[p.ID] = true
		if p.Title == "" || p.GridPos.W < 1 || p.GridPos.H < 1 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q lies at %+v", p.ID, p.Title, p.GridPos)
		}
		for _, q := range b.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panel %q lies over %q", p.Title, q.Title)
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource == nil || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q asks nothing, or not the data source that was chosen", p.Title)
		}
		for _, q := range p.Targets {
			if q.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q asks the data source %q", p.Title, q.Datasource.UID)
			}
			knownMetrics(t, "panel "+p.Title, q.Expr)
		}
	}
	promtool(t, "check", "rules", asRules(t, b))
}

// asRules writes the expressions of the dashboard as recording rules, which promtool
// and Prometheus parse.
func asRules(t *testing.T, b board) string {
	t.Helper()
	type rule struct {
		Record string            `yaml:"record"`
		Expr   string            `yaml:"expr"`
		Labels map[string]string `yaml:"labels"`
	}
	type group struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	}
	g := group{Name: "dashboard"}
	for where, expr := range b.expressions() {
		if strings.Contains(expr, "$") {
			t.Errorf("panel %s: a variable of %s is not known", where, expr)
		}
		g.Rules = append(g.Rules, rule{"panel", expr, map[string]string{"panel": where}})
	}
	data, err := yaml.Marshal(map[string][]group{"groups": {g}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
