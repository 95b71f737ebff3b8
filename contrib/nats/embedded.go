package eventbusnats

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	defaultSync  = 100 * time.Millisecond
	startTimeout = 10 * time.Second // for the server's goroutines, after its files are read
	maxMemory    = 64 << 20         // for streams in memory, of which this package makes none
)

// An EmbeddedOption changes what [Embedded] starts. An invalid one is set-up misuse:
// Embedded panics with a message that says what was wrong.
type EmbeddedOption func(*embeddedConfig) error

type embeddedConfig struct {
	sync   time.Duration
	always bool
	limit  int64
	logger *slog.Logger
}

// WithSyncInterval sets how often the server syncs its files: what was stored in the last
// d before a power cut may be lost. Without it, d is 100 ms. The kill of the process loses
// nothing, whatever d is. It panics in [Embedded] if d is 0 or less.
func WithSyncInterval(d time.Duration) EmbeddedOption {
	return func(c *embeddedConfig) error {
		if d <= 0 {
			return fmt.Errorf("WithSyncInterval: the interval is %v, want more than 0, or WithSyncAlways", d)
		}
		c.sync, c.always = d, false
		return nil
	}
}

// WithSyncAlways syncs the files before a Publish returns, so that a power cut loses
// nothing that was stored. Each Publish costs a sync of the disk; an [Exporter]
// spends one on all that its window holds.
func WithSyncAlways() EmbeddedOption {
	return func(c *embeddedConfig) error {
		c.always = true
		return nil
	}
}

// WithStoreLimit sets how many bytes all streams together may take. Streams reserve their
// WithMaxBytes of it when they are created. Without it that is three quarters of what is
// free on the disk. It panics in [Embedded] if bytes is 0 or less.
func WithStoreLimit(bytes int64) EmbeddedOption {
	return func(c *embeddedConfig) error {
		if bytes <= 0 {
			return fmt.Errorf("WithStoreLimit: the limit is %d bytes, want more than 0", bytes)
		}
		c.limit = bytes
		return nil
	}
}

// WithLogger sets who gets the warnings and errors of the server and of its connections.
// Without it that is what [slog.Default] returns when [Embedded] is called. nil panics there.
func WithLogger(l *slog.Logger) EmbeddedOption {
	return func(c *embeddedConfig) error {
		if l == nil {
			return errors.New("WithLogger: the logger is nil")
		}
		c.logger = l
		return nil
	}
}

// Embedded starts a JetStream server inside the process that keeps its streams in the
// directory dir, which it makes if there is none. The server listens at no port. It is
// ended by [Node.Close], or with the process.
//
// The error wraps [ErrDirInUse] if another node, of this process or another one, has the
// directory: two servers on one directory would destroy each other's streams. Any other
// error says why the directory cannot be used. Embedded panics if dir is empty or an
// option is invalid.
func Embedded(dir string, opts ...EmbeddedOption) (*Node, error) {
	c := embeddedConfig{sync: defaultSync, logger: slog.Default()}
	if err := c.apply(dir, opts); err != nil {
		panic("eventbusnats: Embedded: " + err.Error())
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("eventbusnats: Embedded: %w", err)
	}
	n, err := c.start(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("eventbusnats: Embedded: %s: %w", dir, err), lock.Close())
	}
	n.lock = lock
	return n, nil
}

func (c *embeddedConfig) apply(dir string, opts []EmbeddedOption) error {
	if dir == "" {
		return errors.New("the directory is empty")
	}
	for _, opt := range opts {
		if opt == nil {
			return errors.New("an option is nil")
		}
		if err := opt(c); err != nil {
			return err
		}
	}
	return nil
}

// lockDir makes the directory and locks it until the file is closed, or the process ends
// in whatever way.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return lockFile(filepath.Join(dir, "eventbus.lock"))
}

// start starts a server and connects to it.
func (c *embeddedConfig) start(dir string) (*Node, error) {
	log := &serverLog{to: c.logger}
	srv, err := server.NewServer(&server.Options{
		ServerName: "eventbus", DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: dir, JetStreamMaxMemory: maxMemory, JetStreamMaxStore: c.limit,
		SyncInterval: c.sync, SyncAlways: c.always,
	})
	if err != nil {
		return nil, err
	}
	srv.SetLogger(log, false, false)
	srv.Start() // reads the streams before it returns
	if err = log.fatalError(); err == nil && !srv.ReadyForConnections(startTimeout) {
		err = fmt.Errorf("the server is not ready after %v", startTimeout)
	}
	var n *Node
	if err == nil {
		n, err = connect("", c.logger, []nats.Option{nats.InProcessServer(srv)})
	}
	if err != nil {
		shutDown(srv)
		return nil, err
	}
	n.server = srv
	return n, nil
}

func shutDown(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}
