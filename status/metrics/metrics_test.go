package metrics

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/dynamicio/dynamicio/cluster"
	"github.com/dynamicio/dynamicio/cluster/bus"
	"github.com/dynamicio/dynamicio/namespace"
	"github.com/dynamicio/dynamicio/node/engineio"
)

var update = flag.Bool("update", false, "write testdata/metrics.txt anew")

const golden = "testdata/metrics.txt"

// The names are what dashboards and alerts of others are built on: a change of this
// list is a change for them.
func TestDescribe_IsTheListThatOthersKnow(t *testing.T) {
	var b strings.Builder
	for _, d := range Describe() {
		labels := ""
		for i, l := range d.Labels {
			if i > 0 {
				labels += ","
			}
			labels += l
			if v := d.Values[l]; v != nil {
				labels += "=" + strings.Join(v, "|")
			}
		}
		where := "always"
		if d.Cluster {
			where = "cluster"
		}
		fmt.Fprintf(&b, "%s %s {%s} %s\n    %s\n", d.Name, d.Type, labels, where, d.Help)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the metrics are no more those of %s; if that is meant, run the test with -update. Now:\n%s", golden, &b)
	}
}

// full is a snapshot in which everything is there.
func full() *Snapshot {
	s := &Snapshot{
		Node: "n1", Cluster: "c", Version: "v1", Commit: "abc",
		AcceptErrors: map[string]int64{"main": 0, "admin": 0},
		Transport:    engineio.Stats{Refused: map[string]int64{}},
		Namespaces:   namespace.Stats{Refused: map[string]int64{}, DisconnectsBy: map[string]int64{}},
		Member:       &cluster.MemberStats{}, Bus: &bus.Stats{Dropped: map[string]uint64{}},
	}
	for _, r := range engineio.RefuseReasons() {
		s.Transport.Refused[r] = 1
	}
	for _, r := range namespace.RefuseReasons() {
		s.Namespaces.Refused[r] = 1
	}
	for _, r := range namespace.DisconnectReasons() {
		s.Namespaces.DisconnectsBy[r] = 1
	}
	for _, r := range bus.DropReasons() {
		s.Bus.Dropped[r] = 1
	}
	return s
}

func gather(t *testing.T, c prometheus.Collector) (map[string]*dto.MetricFamily, error) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(c); err != nil {
		t.Fatal(err)
	}
	list, err := reg.Gather()
	families := make(map[string]*dto.MetricFamily)
	for _, f := range list {
		families[f.GetName()] = f
	}
	return families, err
}

// collectorOf makes a collector of a snapshot, as a node with a Redis has it.
func collectorOf(s func() *Snapshot) (prometheus.Collector, *Recorder) {
	r := NewRecorder()
	return Collector(func() *Snapshot {
		snap := s()
		snap.Unanswered = r.Unanswered()
		return snap
	}, r), r
}

func TestCollector_ShowsWhatIsDescribed(t *testing.T) {
	c, _ := collectorOf(full)
	families, err := gather(t, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range Describe() {
		f := families[d.Name]
		if f == nil {
			t.Errorf("%s is described and not there", d.Name)
			continue
		}
		delete(families, d.Name)
		if kind := strings.ToLower(f.GetType().String()); kind != d.Type || f.GetHelp() != d.Help {
			t.Errorf("%s is a %s (%s), described as %s (%s)", d.Name, kind, f.GetHelp(), d.Type, d.Help)
		}
		series := 1
		for _, values := range d.Values {
			series *= len(values)
		}
		if len(f.GetMetric()) != series {
			t.Errorf("%s has %d series, described are %d", d.Name, len(f.GetMetric()), series)
		}
		for _, m := range f.GetMetric() {
			var names []string
			for _, l := range m.GetLabel() {
				names = append(names, l.GetName())
				if values := d.Values[l.GetName()]; values != nil && !slices.Contains(values, l.GetValue()) {
					t.Errorf("%s has %s=%q, which is not described", d.Name, l.GetName(), l.GetValue())
				}
			}
			if want := slices.Sorted(slices.Values(d.Labels)); !slices.Equal(names, want) {
				t.Errorf("%s has the labels %v, described are %v", d.Name, names, want)
			}
		}
	}
	for name := range families {
		t.Errorf("%s is there and not described", name)
	}
}

func TestCollector_KeepsPrometheusConventions(t *testing.T) {
	c, _ := collectorOf(full)
	problems, err := testutil.CollectAndLint(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestCollector_AloneHasNoMetricsOfACluster(t *testing.T) {
	families, err := gather(t, Collector(func() *Snapshot {
		s := full()
		s.Member, s.Bus = nil, nil
		return s
	}, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range Describe() {
		if shown := families[d.Name] != nil; shown == d.Cluster {
			t.Errorf("%s: shown %v on a node that is alone", d.Name, shown)
		}
	}
}

// What cannot be read is missing; the rest is there, and nothing panics.
func TestHandler_OneErrorCostsOneMetric(t *testing.T) {
	for name, snapshot := range map[string]func() *Snapshot{
		"a part is missing": func() *Snapshot {
			s := full()
			s.Bus = nil
			return s
		},
		"all is missing": func() *Snapshot { panic("no") },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := collectorOf(snapshot)
			var log bytes.Buffer
			w := httptest.NewRecorder()
			handlerOf(t, c, slog.New(slog.NewTextHandler(&log, nil))).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "\ngo_goroutines ") {
				t.Errorf("%d, without what others collect: %s", w.Code, w.Body)
			}
			if !strings.Contains(log.String(), "metrics: panic") {
				t.Errorf("the log does not say what is wrong: %s", &log)
			}
			if strings.Contains(w.Body.String(), "dynamicio_bus_queue_bytes ") {
				t.Error("a metric without a value is shown")
			}
			if whole := name == "all is missing"; whole == strings.Contains(w.Body.String(), "dynamicio_sockets ") {
				t.Errorf("sockets are shown: %v", !whole)
			}
		})
	}
}

func TestHandler_Compresses(t *testing.T) {
	c, _ := collectorOf(full)
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	handlerOf(t, c, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	body, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil || !strings.Contains(string(text), "dynamicio_sockets 0\n") {
		t.Errorf("%v: %s", err, text)
	}
}

func TestHandler_BoundsScrapes(t *testing.T) {
	enter, leave := make(chan struct{}), make(chan struct{})
	c, _ := collectorOf(func() *Snapshot {
		enter <- struct{}{}
		<-leave
		return full()
	})
	h := handlerOf(t, c, slog.New(slog.DiscardHandler))
	scrape := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Code
	}
	var work sync.WaitGroup
	for range maxScrapes {
		work.Go(func() {
			if code := scrape(); code != http.StatusOK {
				t.Errorf("a scrape within the bound got %d", code)
			}
		})
	}
	for range maxScrapes {
		<-enter
	}
	if code := scrape(); code != http.StatusServiceUnavailable {
		t.Errorf("a scrape beyond the bound got %d", code)
	}
	close(leave)
	work.Wait()
}

func TestRecorder_CountsWhatItIsTold(t *testing.T) {
	c, r := collectorOf(full)
	o := r.Observer()
	for range 3 {
		o.Joined(2 * time.Millisecond)
	}
	o.Left(time.Millisecond)
	o.Retired(time.Millisecond)
	o.Published(time.Millisecond)
	o.Command("heartbeat", time.Second, nil)
	o.Command("heartbeat", time.Second, errors.New("no answer"))
	o.Command("what a client chose", time.Second, errors.New("no answer"))
	families, err := gather(t, c)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint64{
		"dynamicio_join_duration_seconds": 3, "dynamicio_leave_duration_seconds": 1,
		"dynamicio_retirement_lateness_seconds": 1, "dynamicio_publish_duration_seconds": 1,
	} {
		if got := families[name].GetMetric()[0].GetHistogram().GetSampleCount(); got != want {
			t.Errorf("%s has %d samples, want %d", name, got, want)
		}
	}
	if sum := families["dynamicio_join_duration_seconds"].GetMetric()[0].GetHistogram().GetSampleSum(); sum < .0059 || sum > .0061 {
		t.Errorf("three joins of 2 ms took %v seconds", sum)
	}
	for _, m := range families["dynamicio_redis_command_duration_seconds"].GetMetric() {
		want := uint64(0)
		if m.GetLabel()[0].GetValue() == "heartbeat" {
			want = 2
		}
		if got := m.GetHistogram().GetSampleCount(); got != want {
			t.Errorf("%v: %d samples, want %d", m.GetLabel(), got, want)
		}
	}
	for _, m := range families["dynamicio_redis_errors_total"].GetMetric() {
		want := 0.
		if m.GetLabel()[0].GetValue() == "heartbeat" {
			want = 1
		}
		if got := m.GetCounter().GetValue(); got != want {
			t.Errorf("%v: %v errors, want %v", m.GetLabel(), got, want)
		}
	}
}

func BenchmarkCollector(b *testing.B) {
	r := NewRecorder()
	snap := full()
	snap.Unanswered = r.Unanswered()
	reg := prometheus.NewRegistry()
	reg.MustRegister(Collector(func() *Snapshot { return snap }, r))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := reg.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}

func handlerOf(t *testing.T, c prometheus.Collector, log *slog.Logger) http.Handler {
	t.Helper()
	h, err := Handler(c, log)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What a program adds is shown; what clashes with the node's own is an error.
func TestHandler_Others(t *testing.T) {
	c, _ := collectorOf(full)
	own := prometheus.NewCounter(prometheus.CounterOpts{Name: "own_total", Help: "Own."})
	h, err := Handler(c, slog.New(slog.DiscardHandler), own)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if body := w.Body.String(); !strings.Contains(body, "own_total 0\n") || !strings.Contains(body, "dynamicio_sockets ") {
		t.Errorf("%s", body)
	}
	if _, err := Handler(c, slog.New(slog.DiscardHandler), c); err == nil {
		t.Error("the same metrics twice are no error")
	}
}
