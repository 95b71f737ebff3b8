package eventbusnats_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

// Connect says what is wrong: nobody there, or no JetStream.
func TestConnectRefusesWhatItCannotUse(t *testing.T) {
	_, err := eventbusnats.Connect(within(t, patience), "nats://127.0.0.1:1")
	require.ErrorIs(t, err, nats.ErrNoServers)

	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(patience))
	_, err = eventbusnats.Connect(within(t, patience), s.ClientURL())
	require.ErrorContains(t, err, "eventbusnats: Connect: the server has no JetStream for this account")

	_, err = eventbusnats.Connect(ended(), s.ClientURL())
	require.ErrorIs(t, err, context.Canceled)
	var none context.Context // a caller's mistake must not panic
	_, err = eventbusnats.Connect(none, s.ClientURL())
	require.ErrorContains(t, err, "the context is nil")
}

// The errors of Connect are logged, and URLs may hold passwords.
func TestConnectTellsNoPassword(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, Username: "desk", Password: "secret"})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(patience))
	host := s.Addr().String()
	for _, u := range []string{
		"nats://desk:secret@" + host, "nats://desk:secret@127.0.0.1:1", "nats://desk:wrong-secret@" + host,
		"nats://desk:secret@" + host + "\x7f", "nats://desk:%zzsecret@" + host, "nats://desk:secret@127.0.0.1:port", "nats://desk@[secret:1",
	} {
		_, err := eventbusnats.Connect(within(t, patience), u)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret")
	}
}

// The subjects that the documentation names are all that a user must be allowed.
func TestConnectWithLockedPermissions(t *testing.T) {
	allowed := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"eventbus.>", "eventbusdead.>", "eventbusimporter.>", "$JS.API.>", "$JS.ACK.>", "_INBOX.>"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"eventbusimporter.>", "_INBOX.>"}},
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), SyncInterval: seldom,
		Users: []*server.User{{Username: "desk", Password: "secret", Permissions: allowed}},
	})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(patience))
	refused := newRecorder[error]()
	n, err := eventbusnats.Connect(within(t, patience), s.ClientURL(), nats.UserInfo("desk", "secret"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused.add(err) }))
	require.NoError(t, err)
	topic, b := openTopic(t, n), newBus(t)
	x := export(t, topic, b)
	placed.Subscribe(b, func(context.Context, order) error { return nil })
	publishOn(t, b, 0, 600)
	flush(t, b, x)
	to, told := newBus(t), newRecorder[error]()
	placed.Subscribe(to, func(context.Context, order) error { return errHandler })
	im := importTo(t, topic, to, impatient(1, told)...)
	told.awaitN(t, 3)
	_, err = topic.Import(within(t, patience), newBus(t), "broker")
	require.ErrorIs(t, err, eventbusnats.ErrGroupInUse)
	closeImporter(t, im)
	require.NotEmpty(t, letters(t, topic))
	require.NoError(t, n.Close(within(t, patience)))
	list, _ := refused.all()
	require.Empty(t, list)
}

// The options of Connect are added to those of the package.
func TestConnectTakesOptions(t *testing.T) {
	_, urls := startServers(t, 1)
	n, err := eventbusnats.Connect(within(t, patience), urls, nats.Name("desk 7"))
	require.NoError(t, err)
	require.Equal(t, "desk 7", n.Conn().Opts.Name)
	require.Equal(t, -1, n.Conn().Opts.MaxReconnect)
	require.NoError(t, n.Close(within(t, patience)))
	require.True(t, n.Conn().IsClosed())
}

// Close ends importers after the event at hand, and lets go of the directory.
func TestNodeCloseEndsImportersFirst(t *testing.T) {
	dir := t.TempDir()
	n := newNodeAt(t, dir)
	topic, b := openTopic(t, n), newBus(t)
	begun, goOn := make(chan struct{}, 1), make(chan struct{})
	handled := newRecorder[int]()
	placed.Subscribe(b, func(_ context.Context, o order) error {
		begun <- struct{}{}
		<-goOn
		handled.add(o.N)
		return nil
	})
	publish(t, topic, 0, 1)
	im := importTo(t, topic, b)
	receive(t, begun)
	closed := inBackground(func() error { return n.Close(within(t, patience)) })
	awaitClosing(t, n)
	require.ErrorIs(t, n.Close(within(t, 50*time.Millisecond)), context.DeadlineExceeded, "a second call waits for the first")
	close(goOn)
	require.NoError(t, receive(t, closed))
	receive(t, im.Done())
	list, _ := handled.all()
	require.Equal(t, []int{0}, list)

	n = newNodeAt(t, dir)
	openTopic(t, n)
	c, err := tools(t, n).Consumer(within(t, patience), placedStream, "broker")
	require.NoError(t, err)
	require.EqualValues(t, 1, c.CachedInfo().AckFloor.Stream, "its acknowledgement got to the server")
}

// Publishes in flight are answered, each with what has become of it.
func TestNodeCloseAnswersPublishes(t *testing.T) {
	dir := t.TempDir()
	n := newNodeAt(t, dir)
	topic := openTopic(t, n)
	const publishers = 8
	stored, done := newRecorder[int](), make(chan struct{}, publishers)
	for p := range publishers {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := p; ; i += publishers {
				if _, err := topic.Publish(context.Background(), newOrder(i)); err != nil {
					if !errors.Is(err, eventbusnats.ErrClosed) {
						t.Errorf("publish: %v", err)
					}
					return
				}
				stored.add(i)
			}
		}()
	}
	stored.awaitN(t, 200)
	require.NoError(t, n.Close(within(t, patience)))
	for range publishers {
		receive(t, done)
	}
	n = newNodeAt(t, dir)
	list, _ := stored.all()
	require.ElementsMatch(t, list, storedNumbers(t, n, openTopic(t, n)))
}

// A handler that Close waits for can still publish: else it would fail for Close's sake, and
// its event would come again though it was acted on.
func TestNodeCloseLetsImportedHandlersPublish(t *testing.T) {
	dir := t.TempDir()
	n := newNodeAt(t, dir)
	topic, b := openTopic(t, n), newBus(t)
	sent, err := eventbusnats.Open(within(t, patience), n, exported)
	require.NoError(t, err)
	begun, goOn := make(chan struct{}, 1), make(chan struct{})
	placed.Subscribe(b, func(ctx context.Context, o order) error {
		begun <- struct{}{}
		<-goOn
		_, err := sent.Publish(ctx, o)
		return err
	})
	publish(t, topic, 0, 1)
	importTo(t, topic, b)
	receive(t, begun)
	closed := inBackground(func() error { return n.Close(within(t, patience)) })
	awaitClosing(t, n)
	close(goOn)
	require.NoError(t, receive(t, closed))
	_, err = sent.Publish(within(t, patience), newOrder(1))
	require.ErrorIs(t, err, eventbusnats.ErrClosed)

	n = newNodeAt(t, dir)
	require.Equal(t, []int{0}, storedNumbers(t, n, openTopic(t, n)))
	require.Len(t, inStream(t, n, sent.Stream()), 1)
	c, err := tools(t, n).Consumer(within(t, patience), placedStream, "broker")
	require.NoError(t, err)
	require.EqualValues(t, 1, c.CachedInfo().AckFloor.Stream, "its event is acknowledged")
}

// awaitClosing waits until Close has begun.
func awaitClosing(t *testing.T, n *eventbusnats.Node) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := eventbusnats.Open(within(t, patience), n, placed); errors.Is(err, eventbusnats.ErrClosed) {
			return
		}
		require.True(t, time.Now().Before(deadline), "Close does not begin")
	}
}

// A program whose bus both imports and exports loses nothing if it closes its importers,
// shuts the bus down and closes the node.
func TestNodeCloseAfterTheBusStoresAll(t *testing.T) {
	dir := t.TempDir()
	n := newNodeAt(t, dir)
	topic, b := openTopic(t, n), newBus(t)
	answers, err := eventbusnats.Open(within(t, patience), n, exported)
	require.NoError(t, err)
	handled := newRecorder[int]()
	placed.Subscribe(b, func(ctx context.Context, o order) error {
		handled.add(o.N)
		return exported.Publish(ctx, b, o)
	})
	x, err := answers.Export(b)
	require.NoError(t, err)
	publish(t, topic, 0, 100)
	im := importTo(t, topic, b)
	handled.awaitN(t, 20)
	require.NoError(t, im.Close(within(t, patience)))
	require.NoError(t, b.Shutdown(within(t, patience)))
	require.NoError(t, n.Close(within(t, patience)))
	require.NoError(t, x.Err())
	list, _ := handled.all()
	n = newNodeAt(t, dir)
	require.Equal(t, list, storedNumbers(t, n, answers))
	openTopic(t, n)
	c, err := tools(t, n).Consumer(within(t, patience), placedStream, "broker")
	require.NoError(t, err)
	require.EqualValues(t, len(list), c.CachedInfo().AckFloor.Stream)
}
