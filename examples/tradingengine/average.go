package main

import decimal "github.com/quagmt/udecimal"

// average is a simple moving average. It keeps the exact sum of its window, because a quotient would have to be rounded.
type average struct {
	window []decimal.Decimal // a ring; the oldest value is at next once it is full
	next   int
	full   bool
	sum    decimal.Decimal
}

func newAverage(length int) *average {
	return &average{window: make([]decimal.Decimal, length)}
}

func (a *average) add(value decimal.Decimal) {
	a.sum = a.sum.Sub(a.window[a.next]).Add(value)
	a.window[a.next] = value
	a.next++
	if a.next == len(a.window) {
		a.next, a.full = 0, true
	}
}

// compare says exactly whether a is below (-1), at (0) or above (1) b: sums are compared crosswise, without a division.
func (a *average) compare(b *average) int {
	return a.sum.Mul64(uint64(len(b.window))).Cmp(b.sum.Mul64(uint64(len(a.window))))
}

// float is for drawing only.
func (a *average) float() float64 {
	return a.sum.InexactFloat64() / float64(len(a.window))
}
