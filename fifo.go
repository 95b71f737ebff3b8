package eventbus

import "slices"

// A fifo is a first-in, first-out list that reuses its memory.
type fifo[T comparable] struct {
	items []T // items[:head] are gone
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) front() *T { return &f.items[f.head] }

func (f *fifo[T]) push(v T) {
	if len(f.items) == cap(f.items) && f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, v)
}

func (f *fifo[T]) pop() T {
	var zero T
	v := f.items[f.head]
	f.items[f.head] = zero
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
	return v
}

// toFront moves the first item that is the one meant ahead of the others.
func (f *fifo[T]) toFront(meant func(T) bool) {
	if i := slices.IndexFunc(f.items[f.head:], meant); i > 0 {
		v := f.items[f.head+i]
		copy(f.items[f.head+1:], f.items[f.head:f.head+i])
		f.items[f.head] = v
	}
}

func (f *fifo[T]) remove(v T) {
	if i := slices.Index(f.items[f.head:], v); i >= 0 {
		f.removeAt(i)
	}
}

// removeAt removes the i-th item from the front.
func (f *fifo[T]) removeAt(i int) {
	if i == 0 {
		f.pop()
		return
	}
	f.items = slices.Delete(f.items, f.head+i, f.head+i+1)
}
