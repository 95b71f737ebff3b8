package inspect_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/contrib/inspect"
)

// What a program cannot have meant panics, and says what is wrong.
func TestNewPanicsOnMisuse(t *testing.T) {
	for want, f := range map[string]func(){
		"inspect: New: the bus is nil":                func() { inspect.New(nil) },
		"inspect: WithControls: the logger is nil":    func() { inspect.WithControls(nil) },
		"inspect: WithPayloads: the function is nil":  func() { inspect.WithPayloads(nil) },
		"inspect: WithFailures: the failures are nil": func() { inspect.WithFailures(nil) },
	} {
		require.PanicsWithValue(t, want, f)
	}
}

// Every answer has the security policy, errors included.
func TestPageServesItsFilesUnderASecurityPolicy(t *testing.T) {
	_, page := newPage(t, nil)
	for _, c := range []struct {
		name, contentType string
		code              int
	}{
		{"", "text/html", 200},
		{"page.js", "text/javascript", 200},
		{"chart.js", "text/javascript", 200},
		{"page.css", "text/css", 200},
		{"uPlot.iife.min.js", "text/javascript", 200},
		{"uPlot.min.css", "text/css", 200},
		{"uPlot.LICENSE", "text/plain", 200},
		{"stack?queue=data", "text/plain", 200},
		{"stack?queue=all", "text/plain", 400},
		{"failure?id=1", "text/plain", 200},
		{"failure?id=x", "text/plain", 400},
		{"nothing", "text/plain", 404},
		{"page.go", "text/plain", 404},
	} {
		w := ask(page, "GET", c.name)
		require.Equal(t, c.code, w.Code, c.name)
		require.Contains(t, w.Header().Get("Content-Type"), c.contentType, c.name)
		require.NotEmpty(t, w.Body.String(), c.name)
		policy := w.Header().Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'; script-src 'self';", c.name)
		require.NotContains(t, policy, "unsafe", c.name)
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"), c.name)
	}
}

// What the page asks for, it asks of its own server, and shows as text.
func TestPageHasNoForeignAddressAndSetsNoMarkup(t *testing.T) {
	_, page := newPage(t, nil)
	for _, name := range []string{"", "page.js", "chart.js", "page.css"} {
		text := ask(page, "GET", name).Body.String()
		for _, bad := range []string{"//cdn", "http:", "https:", "innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("} {
			require.NotContains(t, text, bad, name)
		}
	}
}

// The page works wherever it is mounted.
func TestPageMayBeMountedAnywhere(t *testing.T) {
	_, page := newPage(t, nil)
	mux := http.NewServeMux()
	mux.Handle("/debug/eventbus/", page)
	mux.Handle("/desk/bus/", http.StripPrefix("/desk/bus", page))
	for _, path := range []string{"/debug/eventbus/", "/debug/eventbus/page.js", "/desk/bus/", "/desk/bus/page.js"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		require.Equal(t, http.StatusOK, w.Code, path)
	}
}

func TestPageIsReadOnlyWithoutWithControls(t *testing.T) {
	bus, page := newPage(t, nil)
	for name, code := range map[string]int{
		"pause?queue=order": 403, "resume?queue=order": 403, "": 405, "stream": 405, "stack?queue=order": 405, "page.js": 405,
	} {
		w := ask(page, "POST", name, "Sec-Fetch-Site", "same-origin")
		require.Equal(t, code, w.Code, name)
	}
	require.False(t, bus.Stats().Queues[eventbus.OrderQueue].Paused)
}

func TestWithControlsPausesAndResumesAndLogsIt(t *testing.T) {
	var log bytes.Buffer
	bus, page := newPage(t, []inspect.Option{inspect.WithControls(slog.New(slog.NewTextHandler(&log, nil)))})
	paused := func() bool { return bus.Stats().Queues[eventbus.SignalQueue].Paused }

	require.Equal(t, http.StatusNoContent, ask(page, "POST", "pause?queue=signal", "Sec-Fetch-Site", "same-origin").Code)
	require.True(t, paused())
	require.Contains(t, log.String(), "level=WARN")
	require.Contains(t, log.String(), "action=pause queue=signal remote=192.0.2.1:1234")
	require.Equal(t, http.StatusNoContent, ask(page, "POST", "resume?queue=signal").Code)
	require.False(t, paused())
	require.Contains(t, log.String(), "action=resume queue=signal")

	log.Reset()
	require.Equal(t, http.StatusBadRequest, ask(page, "POST", "pause?queue=signals").Code)
	require.Equal(t, http.StatusMethodNotAllowed, ask(page, "GET", "pause?queue=signal").Code)
	require.False(t, paused())
	require.Empty(t, log.String())
}

func TestWithControlsRefusesAndLogsPostsFromOtherSites(t *testing.T) {
	var log bytes.Buffer
	bus, page := newPage(t, []inspect.Option{inspect.WithControls(slog.New(slog.NewTextHandler(&log, nil)))})
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://elsewhere.example"},
		{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, // a form
	} {
		log.Reset()
		require.Equal(t, http.StatusForbidden, ask(page, "POST", "pause?queue=order", header...).Code, header)
		require.Contains(t, log.String(), "request from another site refused")
	}
	require.False(t, bus.Stats().Queues[eventbus.OrderQueue].Paused)
}

// A page of another site can neither read nor start a stream or a profile; a link works.
func TestPageRefusesBackgroundRequestsFromOtherSites(t *testing.T) {
	bus, page := newPage(t, nil)
	for _, name := range []string{"stream", "stack?queue=data", "page.js", ""} {
		require.Equal(t, http.StatusForbidden, ask(page, "GET", name, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors").Code, name)
	}
	require.Equal(t, http.StatusOK, ask(page, "GET", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate").Code)
	require.False(t, hasTap(bus))
}

// Nobody looks, nothing is subscribed; the last who leaves takes the tap along.
func TestStreamHasATapWhileSomebodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, page := newPage(t, nil)
		publish(t, bus, eventbus.DataQueue, "tick", 1)
		require.False(t, hasTap(bus))
		ask(page, "GET", "")
		require.False(t, hasTap(bus))

		first, second := look(t, page), look(t, page)
		synctest.Wait()
		require.True(t, hasTap(bus))
		first.leave()
		require.True(t, hasTap(bus))
		second.leave()
		require.False(t, hasTap(bus))
		require.Empty(t, bus.Stats().Handlers)

		third := look(t, page)
		third.next(t)
		require.True(t, hasTap(bus))
	})
}

// A stream ends with the context of its request.
func TestStreamEndsWithItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, page := newPage(t, nil)
		v := look(t, page)
		time.Sleep(3 * interval)
		synctest.Wait()
		require.Len(t, v.frames(t), 4)
		require.Equal(t, "text/event-stream", v.header.Get("Content-Type"))
		v.cancel()
		synctest.Wait()
		requireEnded(t, v)
		require.False(t, hasTap(bus))
	})
}

// A stream ends when its viewer takes no more.
func TestStreamEndsWhenAWriteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, page := newPage(t, nil)
		v := look(t, page)
		synctest.Wait()
		v.mu.Lock()
		v.err = io.ErrClosedPipe
		v.mu.Unlock()
		time.Sleep(interval)
		synctest.Wait()
		requireEnded(t, v)
		require.False(t, hasTap(bus))
	})
}

func requireEnded(t testing.TB, v *viewer) {
	t.Helper()
	select {
	case <-v.done:
	default:
		require.Fail(t, "the stream goes on")
	}
}

// Close ends the streams, and there are none after it.
func TestPageCloseEndsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, page := newPage(t, nil)
		v := look(t, page)
		synctest.Wait()
		page.Close()
		page.Close()
		synctest.Wait()
		requireEnded(t, v)
		require.False(t, hasTap(bus))
		w := ask(page, "GET", "stream")
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Contains(t, w.Body.String(), "closed")
	})
}

// A server that shuts down does not wait for who looks, if it closes the page.
func TestPageCloseLetsAServerShutDown(t *testing.T) {
	_, page := newPage(t, nil)
	server := httptest.NewServer(page)
	defer server.Close()
	server.Config.RegisterOnShutdown(page.Close)
	answer, err := server.Client().Get(server.URL + mount + "stream")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- server.Config.Shutdown(background) }()
	_, err = io.Copy(io.Discard, answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "Shutdown waits")
	}
}

// So many may look at a time, and no more.
func TestStreamBoundsHowManyLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, page := newPage(t, nil)
		var last *viewer
		for range 32 {
			last = look(t, page)
		}
		synctest.Wait()
		require.Equal(t, http.StatusServiceUnavailable, ask(page, "GET", "stream").Code)
		last.leave()
		look(t, page).next(t)
	})
}

// The stack of a stuck handler names the line at which it is.
func TestStackShowsWhereAHandlerIs(t *testing.T) {
	bus, page := newPage(t, nil)
	release, at := make(chan struct{}), make(chan struct{})
	bus.SubscribeFunc("order", stuck(at, release))
	publish(t, bus, eventbus.OrderQueue, "order", 1)
	<-at
	text := ask(page, "GET", "stack?queue=order").Body.String()
	require.Contains(t, text, "stuck.func")
	require.Contains(t, text, "stream_test.go:")
	require.Less(t, strings.Index(text, "stuck.func"), strings.Index(text, "eventbus.(*processor)"), "the innermost call comes first")
	require.NotContains(t, ask(page, "GET", "stack?queue=data").Body.String(), "stuck")
	close(release)
	require.NoError(t, bus.Flush(background))

	require.NoError(t, bus.Shutdown(background))
	require.Eventually(t, func() bool {
		return strings.Contains(ask(page, "GET", "stack?queue=order").Body.String(), "no goroutine serves the order queue")
	}, patience, time.Millisecond)
}

// With WithSingleThread one goroutine serves all queues.
func TestStackFindsTheProcessorOfASingleThread(t *testing.T) {
	_, page := newPage(t, nil, eventbus.WithSingleThread())
	for _, q := range []string{"data", "signal", "order"} {
		require.Eventually(t, func() bool {
			return strings.Contains(ask(page, "GET", "stack?queue="+q).Body.String(), "eventbus.(*processor)")
		}, patience, time.Millisecond)
	}
}
