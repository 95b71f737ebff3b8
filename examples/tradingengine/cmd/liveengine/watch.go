package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/inspect"
	eventbusprometheus "github.com/eventbus-go/eventbus/contrib/prometheus"
)

// watch serves what shows the bus while it runs: a live page, metrics and profiles. It says where on stderr, and returns
// what ends it. Whoever can reach the address can read them: keep it on this machine, or put a login in front.
func watch(address string, bus *eventbus.Bus, failures *inspect.Failures, stderr io.Writer) (stop func() error, err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("-http %s: %w", address, err)
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(eventbusprometheus.NewCollector(bus, nil))
	page := inspect.New(bus, inspect.WithFailures(failures))
	mux := http.NewServeMux()
	mux.Handle("/debug/eventbus/", page)
	mux.Handle("/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux}
	server.RegisterOnShutdown(page.Close)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Fprintf(stderr, "liveengine: watch it at http://%s/debug/eventbus/, metrics at /metrics, profiles at /debug/pprof/\n", listener.Addr())
	return func() error {
		err := server.Shutdown(context.Background())
		if served := <-ended; served != http.ErrServerClosed {
			return served
		}
		return err
	}, nil
}
