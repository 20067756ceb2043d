package metrics

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	// maxScrapes is how many scrapes are answered at a time; others get 503. Prometheus
	// in two copies, and a person who looks, are served.
	maxScrapes = 4
	// scrapeTimeout is Prometheus's own default.
	scrapeTimeout = 10 * time.Second
)

// Handler serves what c and the others collect, and the metrics of the Go runtime and
// of the process, in a registry of its own. An error of one metric takes only that one
// away, and is logged. Others that clash with those of the node are an error.
func Handler(c prometheus.Collector, log *slog.Logger, others ...prometheus.Collector) (http.Handler, error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(c, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, other := range others {
		if err := reg.Register(other); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
	}), nil
}
