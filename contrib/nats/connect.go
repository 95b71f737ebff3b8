package eventbusnats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	reconnectWait = 250 * time.Millisecond // a new leader is elected in a second or two
	pingInterval  = 5 * time.Second        // a server that was cut off is noticed after three

	// minAPILevel is that of the servers from 2.14 on, which can reset a consumer.
	minAPILevel = 4
)

// Connect connects to a server or a cluster with JetStream. urls are separated by commas,
// as [nats.Connect] takes them; opts are added to those of this package: to reconnect for
// ever, to keep nothing for a server that is gone, to log to [slog.Default] what happens to
// the connections.
//
// Connect fails if no server answers, if it has no JetStream for the account, or if it is
// older than 2.14. Its errors never tell urls, which may hold a password. ctx bounds only
// the wait for JetStream: to dial takes 2 s a server at most, or what [nats.Timeout] says.
// Later, a connection that breaks is made anew. Connect panics if urls is empty.
//
// A topic has one replica unless [WithReplicas] says otherwise, also in a cluster.
func Connect(ctx context.Context, urls string, opts ...nats.Option) (*Node, error) {
	if urls == "" {
		panic("eventbusnats: Connect: the URL is empty")
	}
	if ctx == nil {
		return nil, fmt.Errorf("eventbusnats: Connect: %w", errNilContext)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("eventbusnats: Connect: %w", context.Cause(ctx))
	}
	n, err := connect(urls, slog.Default(), opts)
	if err != nil {
		return nil, fmt.Errorf("eventbusnats: Connect: %w", withoutURL(err))
	}
	if err := n.checkServer(ctx); err != nil {
		n.disconnect()
		return nil, fmt.Errorf("eventbusnats: Connect: %w", err)
	}
	return n, nil
}

// withoutURL hides what cites a URL, or a part of it, which may hold a password.
func withoutURL(err error) error {
	if parse := (*url.Error)(nil); errors.As(err, &parse) {
		return errors.New("a URL is invalid")
	}
	return err
}

// connect makes a node of two connections: the answers to publishes must not queue behind
// the messages that importers have ordered.
func connect(urls string, log *slog.Logger, opts []nats.Option) (*Node, error) {
	opts = append(connectionOptions(log), opts...)
	n := newNode()
	var err error
	if n.out, n.js, err = dial(urls, opts); err != nil {
		return nil, err
	}
	if n.in, n.jsIn, err = dial(urls, opts); err != nil {
		n.out.Close()
		return nil, err
	}
	return n, nil
}

func dial(urls string, opts []nats.Option) (*nats.Conn, jetstream.JetStream, error) {
	c, err := nats.Connect(urls, opts...)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(c)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, js, nil
}

// connectionOptions are those that the users' options are added to. Nothing is buffered
// for a server that is gone: what was published meanwhile is tried again, and would
// otherwise be sent late, after its publisher was told of an error.
func connectionOptions(log *slog.Logger) []nats.Option {
	return []nats.Option{
		nats.Name("eventbus"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectBufSize(-1),
		nats.FlusherTimeout(callTimeout), // a write that heeds no context, to a peer that reads nothing
		nats.PingInterval(pingInterval),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("eventbusnats: a connection", "error", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil at Close
				log.Warn("eventbusnats: the connection is lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			log.Info("eventbusnats: connected again", "server", c.ConnectedUrlRedacted())
		}),
	}
}

// checkServer waits for JetStream and looks whether it is recent enough.
func (n *Node) checkServer(ctx context.Context) error {
	return n.manage(ctx, func(ctx context.Context) error {
		info, err := n.js.AccountInfo(ctx)
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return fmt.Errorf("the server has no JetStream for this account: %w", err)
		}
		if err == nil && info.API.Level < minAPILevel {
			err = fmt.Errorf("%w: server %s has API level %d, want %d: NATS 2.14 or newer", errTooOld, n.out.ConnectedServerVersion(), info.API.Level, minAPILevel)
		}
		return err
	})
}

var errTooOld = errors.New("the server is too old")
