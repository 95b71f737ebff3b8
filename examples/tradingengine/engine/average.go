package engine

import decimal "github.com/quagmt/udecimal"

// Average is a simple moving average. It keeps the exact sum of its window, because a quotient would have to be rounded.
type Average struct {
	window []decimal.Decimal // a ring; the oldest value is at next once it is full
	next   int
	full   bool
	sum    decimal.Decimal
}

// NewAverage takes the length in values.
func NewAverage(length int) *Average {
	return &Average{window: make([]decimal.Decimal, length)}
}

// Add moves the window by one value.
func (a *Average) Add(value decimal.Decimal) {
	a.sum = a.sum.Sub(a.window[a.next]).Add(value)
	a.window[a.next] = value
	a.next++
	if a.next == len(a.window) {
		a.next, a.full = 0, true
	}
}

// compare says exactly whether a is below (-1), at (0) or above (1) b: sums are compared crosswise, without a division.
func (a *Average) compare(b *Average) int {
	return a.sum.Mul64(uint64(len(b.window))).Cmp(b.sum.Mul64(uint64(len(a.window))))
}

// Full says whether there are as many values as the average is long.
func (a *Average) Full() bool { return a.full }

// Len is the length.
func (a *Average) Len() int { return len(a.window) }

// Float is rounded, and so for drawing only.
func (a *Average) Float() float64 {
	return a.sum.InexactFloat64() / float64(len(a.window))
}
