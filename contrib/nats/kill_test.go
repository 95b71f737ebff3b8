package eventbusnats_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var kills = flag.Int("kills", 2, "how many processes are killed, and a fifth as many leaders")

// A ledger is what children have told, of all their lives.
type ledger struct {
	mu      sync.Mutex
	lines   int // of the present life
	inLife  int // the latest sequence that the present life has handled
	stored  map[int]bool
	handled map[int]int
	next    int // the first order that nobody is known to have stored
	latest  int // the latest order that was handled
	seq     int // its sequence

	repeats, disorder int
	wrong             []string
}

func newLedger() *ledger { return &ledger{stored: map[int]bool{}, handled: map[int]int{}, latest: -1} }

// read takes down what a child tells until it dies.
func (l *ledger) read(out io.Reader, told chan<- struct{}) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		l.note(lines.Text())
		select {
		case told <- struct{}{}:
		default:
		}
	}
}

// note takes down a line. The last one of a life may be cut off: it says nothing.
func (l *ledger) note(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines++
	var n, seq int
	switch {
	case scan(line, "S %d.", &n):
		l.stored[n] = true
		l.next = max(l.next, n+1)
	case scan(line, "H %d %d.", &n, &seq):
		l.handle(n, seq)
	case strings.HasPrefix(line, "E"):
		l.wrong = append(l.wrong, line)
	}
}

func scan(line, format string, to ...any) bool {
	n, err := fmt.Sscanf(line, format, to...)
	return err == nil && n == len(to)
}

// handle takes down that an order was handled. A life handles in the order of the stream. It
// may begin with repeats, of what an earlier life had handled and the server not noted down;
// what is new follows on the latest, without a gap.
func (l *ledger) handle(n, seq int) {
	l.handled[n]++
	if seq <= l.inLife {
		l.disorder++
	}
	l.inLife = seq
	if l.handled[n] > 1 {
		l.repeats++
		return
	}
	if n <= l.latest || seq != l.seq+1 {
		l.disorder++
	}
	l.latest, l.seq = n, seq
}

// lost returns the orders that are stored and were never handled.
func (l *ledger) lost() (lost []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := range l.stored {
		if l.handled[n] == 0 {
			lost = append(lost, n)
		}
	}
	return lost
}

func (l *ledger) told() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines
}

func (l *ledger) check(t *testing.T) {
	t.Helper()
	require.Empty(t, l.wrong)
	require.Empty(t, l.lost(), "stored and never handled")
	require.Zero(t, l.disorder, "handled out of order")
}

// start starts a child.
func start(t *testing.T, does, dir string, from int) (*exec.Cmd, io.Reader) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+does, dirVariable+"="+dir, fmt.Sprint(fromVariable, "=", from))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, out
}

// live runs a child and kills it once enough says so, which is asked again and again.
func (l *ledger) live(t *testing.T, does, dir string, enough func() bool) {
	t.Helper()
	l.lines, l.inLife = 0, 0
	cmd, out := start(t, does, dir, l.next)
	told, dead := make(chan struct{}, 1), make(chan struct{})
	go func() { l.read(out, told); close(dead) }()
	last, tick := time.Now(), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for !enough() {
		select {
		case <-told:
			last = time.Now()
		case <-tick.C:
		case <-dead:
			require.FailNow(t, "the child has ended by itself", "%v", l.wrong)
		}
		if time.Since(last) > patience {
			_ = cmd.Process.Kill()
			require.FailNow(t, "the child tells nothing", "not handled: %v", l.lost())
		}
	}
	require.NoError(t, cmd.Process.Kill())
	<-dead
	_ = cmd.Wait() // it was killed
}

// A process that publishes, or exports, and imports at full speed is killed at random
// moments. What it has told to be stored is handled, by it or a later life, in order.
func TestEmbeddedKillLosesNothingStored(t *testing.T) {
	t.Parallel()
	for _, does := range []string{childPublishes, childExports} {
		t.Run(does, func(t *testing.T) {
			l, dir := newLedger(), t.TempDir()
			for range *kills {
				lines, deadline := 1+rand.IntN(3000), time.Now().Add(3*time.Second)
				l.live(t, does, dir, func() bool {
					return l.told() >= lines || l.told() > 0 && time.Now().After(deadline)
				})
			}
			l.live(t, childImports, dir, func() bool { return l.told() > 0 && len(l.lost()) == 0 })
			l.check(t)
			require.NotEmpty(t, l.stored)
			t.Logf("%d kills: %d told to be stored, %d handled, %d repeats", *kills, len(l.stored), len(l.handled), l.repeats)
		})
	}
}
