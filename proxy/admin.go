package proxy

import (
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin returns the handler of the admin port: /metrics for Prometheus, /livez (the process answers) and /readyz (new
// connections are welcome: 200, or else 503 and why not). It only reads.
func (s *Server) Admin() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.collector, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "alive\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := s.notReady(); reason != "" {
			plain(w, http.StatusServiceUnavailable, "not ready: "+reason+"\n")
			return
		}
		plain(w, http.StatusOK, "ready\n")
	})
	return mux
}

// notReady says why new connections are not welcome, "" when they are.
func (s *Server) notReady() string {
	if s.shuttingDown.Load() {
		return "shutting down"
	}
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	if state != serverRunning {
		return "not running"
	}
	if groups := s.site.Load().groups; len(groups) > 0 && !slices.ContainsFunc(groups, (*group).canServe) {
		return "no backend takes requests"
	}
	return ""
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
