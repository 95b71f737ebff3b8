package inspect

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"

	"github.com/eventbus-go/eventbus"
)

// stack writes the stacks of the goroutines that serve a queue: of its processor, and of
// what its handlers have started, which inherits the label. Those of other buses of the
// program have the same label and are among them.
func (p *Page) stack(w http.ResponseWriter, r *http.Request) {
	q, err := eventbus.ParseQueue(r.URL.Query().Get("queue"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	stacks := stacksOf(q, p.profile())
	if len(stacks) == 0 {
		fmt.Fprintf(w, "no goroutine serves the %v queue\n", q)
	}
	for _, s := range stacks {
		fmt.Fprintln(w, s)
	}
}

// failureStack writes the stack of a failure.
func (p *Page) failureStack(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.URL.Query().Get("id"), 10, 64)
	if err != nil {
		http.Error(w, "which failure?", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, p.failures.stack(id))
}

// profile returns the goroutine profile as text. One is taken at a time.
func (p *Page) profile() string {
	p.stacks.Lock()
	defer p.stacks.Unlock()
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		panic("inspect: BUG: " + err.Error()) // a buffer takes everything
	}
	return text.String()
}

var (
	// label finds the queues that a goroutine serves: with WithSingleThread several.
	label = regexp.MustCompile(`(?m)^# labels: .*"eventbus":"([a-z, ]+)"`)

	// callLine finds a call in a stack: its function without offset, and its place.
	callLine = regexp.MustCompile(`(?m)^#\t0x[0-9a-f]+\t(.+?)(?:\+0x[0-9a-f]+)?\t+(.+:\d+)$`)
)

// stacksOf returns the stacks of q in a goroutine profile, that of a processor first.
func stacksOf(q eventbus.Queue, profile string) (stacks []string) {
	for g := range strings.SplitSeq(profile, "\n\n") {
		m := label.FindStringSubmatch(g)
		if m == nil || !slices.Contains(strings.Split(m[1], ", "), q.String()) {
			continue
		}
		count, _, _ := strings.Cut(g, " ")
		s := "goroutines with this stack: " + count + "\n"
		for _, call := range callLine.FindAllStringSubmatch(g, -1) {
			s += call[1] + "\n    " + call[2] + "\n"
		}
		stacks = append(stacks, s)
	}
	slices.SortStableFunc(stacks, func(a, b string) int { return isProcessor(b) - isProcessor(a) })
	return stacks
}

func isProcessor(stack string) int {
	if strings.Contains(stack, "eventbus.(*processor).") {
		return 1
	}
	return 0
}
