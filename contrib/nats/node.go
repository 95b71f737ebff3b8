package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/eventbus-go/eventbus"
)

// A Node is a connection to JetStream, in the process ([Embedded]) or outside ([Connect]).
// Topics, exporters and importers belong to one. All methods may be called concurrently.
type Node struct {
	out, in  *nats.Conn          // publishes; consumes
	js, jsIn jetstream.JetStream // of each

	server *server.Server // of Embedded, else nil
	lock   *os.File       // of its directory

	closing chan struct{}      // closed when Close begins
	refuses chan struct{}      // closed when publishes are refused: Close has closed the importers
	cut     context.Context    // ends when Close waits no longer
	cutOff  context.CancelFunc // ends it
	closed  chan struct{}      // closed when Close is complete
	err     error              // of Close; written before closed is closed

	idle chan struct{} // closed when publishes are refused and none is in flight

	mu         sync.Mutex
	ending     bool // Close has begun
	refusing   bool // refuses is closed
	publishing int  // publishes in flight; grows only until refusing
	importers  map[*Importer]struct{}
	exporters  map[*Exporter]struct{}
}

func newNode() *Node {
	cut, cutOff := context.WithCancelCause(context.Background())
	return &Node{
		closing: make(chan struct{}), refuses: make(chan struct{}), cut: cut, cutOff: func() { cutOff(ErrClosed) }, closed: make(chan struct{}), idle: make(chan struct{}),
		importers: make(map[*Importer]struct{}), exporters: make(map[*Exporter]struct{}),
	}
}

// Conn returns the connection that publishes, for tools: what has no port is reached
// through it. It belongs to the node, which closes it.
func (n *Node) Conn() *nats.Conn { return n.out }

// Close ends the node. It closes the importers, each after the event at hand; the
// exporters, when what their windows hold is stored; the connections, when publishes in
// flight are answered; then the embedded server, and it lets go of the directory. From its
// beginning all that is called on the node and its topics returns [ErrClosed], but for
// [Topic.Publish]: until the importers are closed their handlers may need it. After that
// it returns [ErrClosed], too, also where it waits to be tried again.
//
// To end a program, close the importers with [Importer.Close], shut the buses down, and
// close the node: then no handler of an imported event is cut off by its bus, and the
// exporters store what the buses have handled to the end.
//
// When ctx ends, Close waits for none of that any longer: what is in flight gets an error,
// and Close returns the errors of what it has cut off, which wrap ctx's, within a few
// seconds. What an exporter could not store is in its [ExportError].
//
// A later call waits for the first one and returns its result, or its own ctx's error.
// Close must not be called inside a handler, nor inside the function of [OnImportError] or
// [OnExportError], which must not wait for it either: Close waits for them until ctx ends.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	first := !n.ending
	n.ending = true
	n.mu.Unlock()
	if first {
		n.err = n.close(ctx)
		close(n.closed)
		return n.err
	}
	select {
	case <-n.closed:
		return n.err
	case <-ctx.Done():
		return fmt.Errorf("eventbusnats: Close: %w", context.Cause(ctx))
	}
}

// close carries out Close. Nothing is added to the node any more, since it is ending.
func (n *Node) close(ctx context.Context) error {
	close(n.closing)
	defer n.cutOff()
	errs := closeEach(ctx, n.importers)
	n.refuse()
	errs = append(errs, closeEach(ctx, n.exporters)...)
	errs = append(errs, n.awaitPublishes(ctx))
	n.cutOff()
	<-n.idle
	n.flush()
	n.disconnect()
	if n.server != nil {
		shutDown(n.server)
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}

// refuse lets no further publish begin, nor one that has failed be tried again.
func (n *Node) refuse() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refusing = true
	close(n.refuses)
	if n.publishing == 0 {
		close(n.idle)
	}
}

// closeEach closes all of a kind at once: the slowest says how long that takes.
func closeEach[P interface {
	comparable
	Close(context.Context) error
}](ctx context.Context, all map[P]struct{}) []error {
	var wg sync.WaitGroup
	errs := make(chan error, len(all))
	for p := range all {
		wg.Go(func() { errs <- p.Close(ctx) })
	}
	wg.Wait()
	close(errs)
	var list []error
	for err := range errs {
		list = append(list, err)
	}
	return list
}

// cutTimeout is how long Close waits at most for what it has cut off: that ends at once,
// unless the user's error handler does not return.
const cutTimeout = 2 * time.Second

// awaitCut waits until what was cut off is done. It reports whether that is so.
func awaitCut(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-time.After(cutTimeout):
		return isClosed(done)
	}
}

// awaitPublishes waits until no publish is in flight, or ctx ends.
func (n *Node) awaitPublishes(ctx context.Context) error {
	select {
	case <-n.idle:
		return nil
	case <-ctx.Done():
	}
	if isClosed(n.idle) {
		return nil
	}
	return fmt.Errorf("eventbusnats: Close: publishes are in flight: %w", context.Cause(ctx))
}

const flushTimeout = time.Second

// flush lets what was written last, such as acknowledgements, get to the server.
func (n *Node) flush() {
	for _, c := range []*nats.Conn{n.in, n.out} {
		if c.IsConnected() {
			_ = c.FlushTimeout(flushTimeout) // a lost acknowledgement is a repeat at worst
		}
	}
}

func (n *Node) disconnect() {
	n.in.Close()
	n.out.Close()
}

// begin counts a publish in, unless publishes are refused.
func (n *Node) begin() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refusing {
		return ErrClosed
	}
	n.publishing++
	return nil
}

// end counts it out.
func (n *Node) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.publishing--; n.refusing && n.publishing == 0 {
		close(n.idle)
	}
}

// add makes Close close im or x, whichever is not nil. It refuses an importer and an
// exporter of one stream on one bus, where each event would go round in circles.
func (n *Node) add(im *Importer, x *Exporter) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ending {
		return ErrClosed
	}
	if im != nil {
		for other := range n.exporters {
			if err := circle(im.bus, other.bus, im.stream, other.stream); err != nil {
				return err
			}
		}
		n.importers[im] = struct{}{}
		return nil
	}
	for other := range n.importers {
		if err := circle(x.bus, other.bus, x.stream, other.stream); err != nil {
			return err
		}
	}
	n.exporters[x] = struct{}{}
	return nil
}

func circle(a, b *eventbus.Bus, s, t *stream) error {
	if a == b && s.name == t.name {
		return errors.New("the bus has both an importer and an exporter of the topic: each event would go round in circles")
	}
	return nil
}

// removeImporter and removeExporter forget what has ended by itself. During Close nothing
// is removed: its maps are read without the lock then.
func (n *Node) removeImporter(im *Importer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ending {
		delete(n.importers, im)
	}
}

func (n *Node) removeExporter(x *Exporter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ending {
		delete(n.exporters, x)
	}
}
