package inspect

import (
	"embed"
	"log/slog"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/eventbus-go/eventbus"
)

//go:embed assets
var assets embed.FS

// A Page is the [http.Handler] of the live page of one bus. Make it with [New]. It may be
// mounted at any path that ends in a slash, with or without [http.StripPrefix].
type Page struct {
	bus       *eventbus.Bus
	failures  *Failures
	controls  *slog.Logger // nil: the page is read-only
	watch     *watch
	stacks    sync.Mutex // held while a goroutine profile is taken
	protected http.Handler
}

// An Option configures a [Page].
type Option func(*Page)

// WithControls lets the page pause and resume queues. Each use, and each use that is refused
// because it came from another site, is logged to l at WARN with the queue and the address
// from which it came. A pause has the consequences that [eventbus.Bus.Pause] names. l must
// not be nil.
func WithControls(l *slog.Logger) Option {
	if l == nil {
		panic("inspect: WithControls: the logger is nil")
	}
	return func(p *Page) { p.controls = l }
}

// WithPayloads shows the payloads of sampled events as format writes them, up to 500 bytes of
// each; without it no payload is shown. format is called on the goroutine of the queue's
// processor, concurrently for different queues, up to 20 times a second for a type and only
// while somebody looks. The queue waits for it, so it must not wait itself. If it panics, the
// page shows that in place of the payload. It must not be nil.
func WithPayloads(format func(eventbus.Event) string) Option {
	if format == nil {
		panic("inspect: WithPayloads: the function is nil")
	}
	return func(p *Page) { p.watch.samples.format = format }
}

// WithFailures shows the failures that f has recorded. f must not be nil.
func WithFailures(f *Failures) Option {
	if f == nil {
		panic("inspect: WithFailures: the failures are nil")
	}
	return func(p *Page) { p.failures = f }
}

// New returns the page of bus, which may run or not, and panics if bus is nil.
func New(bus *eventbus.Bus, opts ...Option) *Page {
	if bus == nil {
		panic("inspect: New: the bus is nil")
	}
	p := &Page{bus: bus, failures: new(Failures), watch: newWatch(bus)}
	for _, opt := range opts {
		opt(p)
	}
	p.watch.failures, p.watch.controls = p.failures, p.controls != nil
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(p.refuse))
	p.protected = origins.Handler(http.HandlerFunc(p.serve))
	return p
}

// Close ends the streams of all who look, and refuses further ones. It is for
// [http.Server.RegisterOnShutdown], since Shutdown of the server waits for them otherwise. It
// may be called concurrently, and several times.
func (p *Page) Close() { p.watch.close() }

// headers are those of every answer.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cache-Control":                "no-store",
}

// ServeHTTP serves the page and what it asks for.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	p.protected.ServeHTTP(w, r)
}

// isForeign reports whether a page of another site asks for r in the background. A link to
// the page is none of that.
func isForeign(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return (site == "cross-site" || site == "same-site") && r.Header.Get("Sec-Fetch-Mode") != "navigate"
}

// serve looks at the last element of the path alone, so that it need not know where the page
// is mounted.
func (p *Page) serve(w http.ResponseWriter, r *http.Request) {
	_, name := path.Split(r.URL.Path)
	switch {
	case isForeign(r):
		p.refuse(w, r)
	case name == "pause":
		p.control(w, r, name, p.bus.Pause)
	case name == "resume":
		p.control(w, r, name, p.bus.Resume)
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "the page is read with GET", http.StatusMethodNotAllowed)
	case name == "stream":
		p.stream(w, r)
	case name == "stack":
		p.stack(w, r)
	case name == "failure":
		p.failureStack(w, r)
	case name == "":
		http.ServeFileFS(w, r, assets, "assets/index.html")
	default:
		http.ServeFileFS(w, r, assets, "assets/"+name)
	}
}

// writeLimit is how long a viewer may take to receive a frame: long for a browser on the
// other side of the world.
const writeLimit = 10 * time.Second

// stream sends frames as server-sent events, until the viewer or the page goes.
func (p *Page) stream(w http.ResponseWriter, r *http.Request) {
	if err := p.watch.join(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer p.watch.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // tells a proxy to pass on each frame at once
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := send(w, p.watch.frame(time.Now())); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-p.watch.closed:
			return
		case <-ticker.C:
		}
	}
}

// send writes a frame. A server or middleware without deadlines is used without.
func send(w http.ResponseWriter, frame []byte) error {
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(writeLimit))
	for _, part := range [][]byte{[]byte("data: "), frame, []byte("\n\n")} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return rc.Flush()
}
