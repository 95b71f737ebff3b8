package eventbusnats_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
	eventbusnats "github.com/eventbus-go/eventbus/contrib/nats"
)

const (
	childServes   = "serves" // is a server: one of a cluster, or the only one
	nameVariable  = "EVENTBUSNATS_NAME"
	portVariable  = "EVENTBUSNATS_PORTS"  // for clients, for routes
	routeVariable = "EVENTBUSNATS_ROUTES" // of the cluster; empty for the only server
)

// serve runs a server until the process is killed.
func serve() error {
	o := &server.Options{
		ServerName: os.Getenv(nameVariable), Host: "127.0.0.1", NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: os.Getenv(dirVariable), SyncInterval: seldom,
	}
	if _, err := fmt.Sscan(os.Getenv(portVariable), &o.Port, &o.Cluster.Port); err != nil {
		return err
	}
	if routes := os.Getenv(routeVariable); routes != "" {
		o.Cluster.Name, o.Cluster.Host = "desk", "127.0.0.1"
		o.Routes = server.RoutesFromStr(routes)
	} else {
		o.Cluster.Port = 0
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	select {}
}

// A process is a server in a process of its own.
type process struct {
	name   string
	dir    string
	client int
	route  int
	routes string
	cmd    *exec.Cmd
}

func (p *process) start(t *testing.T) {
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), childVariable+"="+childServes, nameVariable+"="+p.name, dirVariable+"="+p.dir,
		fmt.Sprintf("%s=%d %d", portVariable, p.client, p.route), routeVariable+"="+p.routes)
	p.cmd.Stdout, p.cmd.Stderr = io.Discard, os.Stderr
	require.NoError(t, p.cmd.Start())
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
}

func (p *process) address() string {
	return (&url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", p.client)}).String()
}

// freePorts returns ports that nobody listens at.
func freePorts(t *testing.T, n int) (ports []int) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// startServers starts servers, three of which are a cluster, and returns their addresses.
func startServers(t *testing.T, n int) (servers []*process, urls string) {
	ports, dir := freePorts(t, 2*n), t.TempDir()
	var addresses, routes []string
	for i := range n {
		addresses = append(addresses, (&url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", ports[i])}).String())
		routes = append(routes, (&url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", ports[n+i])}).String())
	}
	for i := range n {
		p := &process{name: fmt.Sprint("s", i), dir: filepath.Join(dir, fmt.Sprint(i)), client: ports[i], route: ports[n+i]}
		if n > 1 {
			p.routes = strings.Join(routes, ",")
		}
		p.start(t)
		t.Cleanup(p.kill)
		servers = append(servers, p)
	}
	for _, p := range servers {
		awaitPort(t, p.client)
	}
	return servers, strings.Join(addresses, ",")
}

func awaitPort(t *testing.T, port int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", fmt.Sprint("127.0.0.1:", port), time.Second)
		if err == nil {
			require.NoError(t, c.Close())
			return
		}
		require.True(t, time.Now().Before(deadline), "nobody listens at port %d", port)
	}
}

func connectTo(t *testing.T, urls string) *eventbusnats.Node {
	n, err := eventbusnats.Connect(within(t, patience), urls)
	require.NoError(t, err)
	t.Cleanup(func() { _ = n.Close(within(t, patience)) })
	return n
}

// awaitCluster waits until a stream has a leader and all its replicas have what it has, and
// returns the leader's name.
func awaitCluster(t *testing.T, n *eventbusnats.Node, stream string) string {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		s, err := tools(t, n).Stream(ctx, stream)
		cancel()
		if err == nil && isWhole(s.CachedInfo().Cluster) {
			return s.CachedInfo().Cluster.Leader
		}
		require.True(t, time.Now().Before(deadline), "the cluster does not come together: %v", err)
	}
}

func isWhole(c *jetstream.ClusterInfo) bool {
	if c == nil || c.Leader == "" || len(c.Replicas) != 2 {
		return false
	}
	for _, r := range c.Replicas {
		if !r.Current || r.Offline {
			return false
		}
	}
	return true
}

var exported = eventbus.NewTopic[order]("order.exported", eventbus.SignalQueue)

// A traffic publishes the orders of two topics, one through Publish and one through an
// exporter, and imports both.
type traffic struct {
	stop              context.CancelFunc
	done              chan struct{}
	stored            *recorder[int] // by Publish
	handled, exported *recorder[int]
	published         int // on the bus that is exported
	exporter          *eventbusnats.Exporter
}

func startTraffic(t *testing.T, n *eventbusnats.Node) *traffic {
	replicated := []eventbusnats.TopicOption{eventbusnats.WithReplicas(3), eventbusnats.WithID(orderID)}
	topic := openTopic(t, n, eventbusnats.WithReplicas(3))
	other, err := eventbusnats.Open(within(t, patience), n, exported, replicated...)
	require.NoError(t, err)
	from, to := newBus(t), newBus(t)
	w := &traffic{done: make(chan struct{}), stored: newRecorder[int](), handled: handle(to), exported: newRecorder[int]()}
	exported.Subscribe(to, func(_ context.Context, o order) error { w.exported.add(o.N); return nil })
	importTo(t, topic, to)
	importTo(t, other, to)
	w.exporter, err = other.Export(from, eventbusnats.OnExportError(func(error) {}))
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	t.Cleanup(stop)
	go w.run(ctx, t, topic, from)
	return w
}

func (w *traffic) run(ctx context.Context, t *testing.T, topic *eventbusnats.Topic[order], from *eventbus.Bus) {
	defer close(w.done)
	for n := 0; ctx.Err() == nil; n++ {
		if err := exported.Publish(ctx, from, newOrder(n)); err == nil {
			w.published++
		}
		if _, err := topic.Publish(ctx, newOrder(n)); err == nil {
			w.stored.add(n)
		} else if ctx.Err() == nil {
			t.Errorf("publish %d: %v", n, err)
			return
		}
	}
}

// awaitMore waits until more orders are stored.
func (w *traffic) awaitMore(t *testing.T, n int) {
	t.Helper()
	now, _ := w.stored.all()
	w.stored.awaitN(t, len(now)+n)
}

// firsts returns the first of each number, in order of appearance.
func firsts(list []int) (first []int) {
	seen := map[int]bool{}
	for _, n := range list {
		if !seen[n] {
			seen[n] = true
			first = append(first, n)
		}
	}
	return first
}

// Leaders of a cluster of three are killed at full traffic. What was stored is handled, and
// what was exported is, in order.
func TestConnectSurvivesItsLeaders(t *testing.T) {
	t.Parallel()
	servers, urls := startServers(t, 3)
	n := connectTo(t, urls)
	w := startTraffic(t, n)
	deaths := max(1, *kills/5)
	for i := range deaths {
		leader := awaitCluster(t, n, []string{"EVENTBUS_order=2Eplaced", "EVENTBUS_order=2Eexported"}[i%2])
		w.awaitMore(t, 50)
		for _, s := range servers {
			if s.name == leader {
				s.kill()
				w.awaitMore(t, 50) // with two of three
				s.start(t)
			}
		}
	}
	w.stop()
	<-w.done
	require.NoError(t, w.exporter.Flush(within(t, patience)))
	stored, _ := w.stored.all()
	handled := firsts(w.handled.await(t, "all are handled", func(list []int) bool { return len(firsts(list)) >= len(stored) }))
	require.Subset(t, handled, stored)
	require.IsIncreasing(t, handled)
	exportedNow := firsts(w.exported.await(t, "all exported are handled", func(list []int) bool { return len(firsts(list)) >= w.published }))
	require.Equal(t, numbers(0, w.published), exportedNow)
	t.Logf("%d leaders killed: %d stored, %d handled; %d exported, in order", deaths, len(stored), len(handled), len(exportedNow))
}
