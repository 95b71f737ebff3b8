//go:build race

package lockrank

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
)

// A Mutex is a sync.Mutex whose rank is checked.
type Mutex struct {
	mu     sync.Mutex
	rank   Rank
	locks  atomic.Uint32
	holder uint64 // the goroutine that holds it, 0 if that was not looked up; guarded by mu
}

// sample says how often a lock of rank Admission or above is checked: once in so many
// Locks. A check must find out which goroutine runs, which takes some microseconds.
const sample = 16

// SetRank gives m its rank. It is called before m is used.
func (m *Mutex) SetRank(r Rank) { m.rank = r }

// Lock locks m. It panics if the goroutine holds a lock that comes after m or
// beside it: two goroutines that do so in different orders can wait for each
// other.
func (m *Mutex) Lock() {
	if m.rank >= Admission && m.locks.Add(1)%sample != 0 {
		m.mu.Lock()
		m.holder = 0
		return
	}
	id := goroutine()
	held.check(id, m)
	m.mu.Lock()
	m.holder = id
	held.add(id, m)
}

// TryLock locks m if nobody holds it, and reports whether it did. It waits for nobody,
// so the order does not matter to it.
func (m *Mutex) TryLock() bool {
	if !m.mu.TryLock() {
		return false
	}
	m.holder = 0
	return true
}

// Unlock unlocks m.
func (m *Mutex) Unlock() {
	if m.holder != 0 {
		held.remove(m.holder, m)
	}
	m.mu.Unlock()
}

// holders notes which goroutine holds which locks.
type holders struct {
	mu    sync.Mutex
	locks map[uint64][]*Mutex // by goroutine; guarded by mu
}

var held = holders{locks: make(map[uint64][]*Mutex)}

func (h *holders) check(id uint64, m *Mutex) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.locks[id] {
		if o.rank >= m.rank {
			panic(fmt.Sprintf("eventbus: BUG: a lock of rank %d is taken while one of rank %d is held", m.rank, o.rank))
		}
	}
}

func (h *holders) add(id uint64, m *Mutex) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.locks[id] = append(h.locks[id], m)
}

func (h *holders) remove(id uint64, m *Mutex) {
	h.mu.Lock()
	defer h.mu.Unlock()
	locks := slices.DeleteFunc(h.locks[id], func(o *Mutex) bool { return o == m })
	if len(locks) == 0 {
		delete(h.locks, id)
		return
	}
	h.locks[id] = locks
}

// goroutine returns the number of the goroutine that calls it, which only the
// first line of its stack tells.
func goroutine() uint64 {
	var buf [64]byte
	line := buf[:runtime.Stack(buf[:], false)]
	number, _, _ := bytes.Cut(bytes.TrimPrefix(line, []byte("goroutine ")), []byte(" "))
	id, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("eventbus: BUG: a stack begins with %q", line))
	}
	return id
}
