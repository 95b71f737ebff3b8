package eventbusprometheus_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what must happen: long for a machine under load.
const patience = 20 * time.Second

// lookForPrometheus returns the path of a Prometheus server, or skips the test.
func lookForPrometheus(t *testing.T) string {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no Prometheus server, so the dashboard's queries are not run. Debian: apt-get install prometheus")
	}
	return program
}

// serve serves the registry's metrics until the test ends and returns the address.
func serve(t *testing.T, reg *prometheus.Registry) string {
	s := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// A server is a running Prometheus.
type server struct {
	url    string
	client *http.Client
	log    *bytes.Buffer // not to be read while it runs
}

const config = `
global: {scrape_interval: 200ms}
scrape_configs: [{job_name: desk, static_configs: [{targets: [%q]}]}]
`

// startPrometheus starts a server that scrapes target and ends with the test.
func startPrometheus(t *testing.T, program, target string, flags ...string) *server {
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, config, target), 0o600))
	s := &server{log: new(bytes.Buffer), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}}
	address := freeAddress(t)
	s.url = "http://" + address
	cmd := exec.Command(program, append(flags, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)...)
	cmd.Stderr = s.log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { s.end(t, cmd) })
	s.awaitReady(t)
	return s
}

// end ends the server, and shows its log if the test has failed.
func (s *server) end(t *testing.T, cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	kill.Stop()
	if t.Failed() {
		t.Log(s.log)
	}
}

// freeAddress returns an address that nobody listens at.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (s *server) awaitReady(t *testing.T) {
	deadline := time.Now().Add(patience)
	for {
		r, err := s.client.Get(s.url + "/-/ready")
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		require.True(t, time.Now().Before(deadline), "Prometheus is not ready: %v", err)
		time.Sleep(50 * time.Millisecond)
	}
}

// ask queries until there is an answer of numbers, and returns the labels of its series.
func (s *server) ask(t *testing.T, query string) []map[string]string {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		if answer := s.query(t, query); len(answer) > 0 {
			return answer
		}
		require.True(t, time.Now().Before(deadline), "no answer to %s", query)
		time.Sleep(100 * time.Millisecond)
	}
}

// query returns the labels of the series in the answer to a query; none if a value is not a
// number, since then a rate has nothing to go by yet.
func (s *server) query(t *testing.T, query string) (series []map[string]string) {
	t.Helper()
	var result struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	s.get(t, "/api/v1/query?"+url.Values{"query": {query}}.Encode(), &result)
	for _, r := range result.Result {
		if r.Value[1] == "NaN" {
			return nil
		}
		series = append(series, r.Metric)
	}
	return series
}

// labelValues answers label_values(selector, label) as Grafana does.
func (s *server) labelValues(t *testing.T, query string) (values []string) {
	t.Helper()
	m := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(query)
	require.NotNil(t, m, query)
	s.get(t, "/api/v1/label/"+m[2]+"/values?"+url.Values{"match[]": {m[1]}}.Encode(), &values)
	return values
}

// get decodes the data of an answer, which must be a success without warnings.
func (s *server) get(t *testing.T, path string, data any) {
	t.Helper()
	r, err := s.client.Get(s.url + path)
	require.NoError(t, err)
	defer r.Body.Close()
	answer := struct {
		Status, Error string
		Warnings      []string
		Data          any
	}{Data: data}
	require.NoError(t, json.NewDecoder(r.Body).Decode(&answer))
	require.Equal(t, "success", answer.Status, "%s: %s", path, answer.Error)
	require.Empty(t, answer.Warnings, path)
}
