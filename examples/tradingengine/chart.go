package main

import (
	"context"
	"math"
	"sync"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"

	"github.com/eventbus-go/eventbus/examples/figure"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// chartPoints bounds what a chart keeps and draws. It is several times the width of the picture in pixels.
const chartPoints = 8192

// chart records what a plot shows: closes, both averages, fills, and equity at each close.
type chart struct {
	fast, slow *engine.Average        // only onClose touches them
	equity     func() decimal.Decimal // at the last close

	// Fills come on the order queue and candles on the data queue: mu keeps their processors apart.
	mu        sync.Mutex
	buy, sell float64 // prices of fills at the open of the candle to come; NaN without
	points    []chartPoint
	span      int // how many candles one point stands for
}

// chartPoint stands for one or more consecutive candles. What does not exist, such as an average yet, is NaN.
type chartPoint struct {
	candles              int
	time                 float64 // Unix seconds of the first
	low, high            float64 // of the closes
	fast, slow           float64 // at the last
	buy, sell            float64 // prices of the last fills
	lowEquity, topEquity float64
}

func newChart(fast, slow int, equity func() decimal.Decimal) *chart {
	return &chart{fast: engine.NewAverage(fast), slow: engine.NewAverage(slow), equity: equity, buy: math.NaN(), sell: math.NaN(), span: 1}
}

// subscribe comes after the portfolio has subscribed, which knows the equity at a close then.
func (c *chart) subscribe(bus *eventbus.Bus) {
	engine.CandleClosed.Subscribe(bus, c.onClose)
	engine.OrderFilled.Subscribe(bus, c.onFill)
}

func (c *chart) onClose(_ context.Context, candle engine.Candle) error {
	c.fast.Add(candle.Close)
	c.slow.Add(candle.Close)
	price, equity := candle.Close.InexactFloat64(), c.equity().InexactFloat64()
	p := chartPoint{candles: 1, time: figure.Seconds(candle.Time), low: price, high: price, fast: math.NaN(), slow: math.NaN(),
		lowEquity: equity, topEquity: equity}
	if c.fast.Full() {
		p.fast = c.fast.Float()
	}
	if c.slow.Full() {
		p.slow = c.slow.Float()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.buy, p.sell = c.buy, c.sell
	c.buy, c.sell = math.NaN(), math.NaN()
	c.addLocked(p)
	return nil
}

// addLocked makes each point stand for twice as many candles when there are too many, so that a file of any length
// is drawn in the same memory.
func (c *chart) addLocked(p chartPoint) {
	if n := len(c.points); n > 0 && c.points[n-1].candles < c.span {
		c.points[n-1] = c.points[n-1].merge(p)
		return
	}
	if len(c.points) == chartPoints {
		for i := range chartPoints / 2 {
			c.points[i] = c.points[2*i].merge(c.points[2*i+1])
		}
		c.points = c.points[:chartPoints/2]
		c.span *= 2
	}
	c.points = append(c.points, p)
}

func (p chartPoint) merge(next chartPoint) chartPoint {
	return chartPoint{
		candles: p.candles + next.candles,
		time:    p.time,
		low:     min(p.low, next.low), high: max(p.high, next.high),
		fast: next.fast, slow: next.slow,
		buy: later(p.buy, next.buy), sell: later(p.sell, next.sell),
		lowEquity: min(p.lowEquity, next.lowEquity), topEquity: max(p.topEquity, next.topEquity),
	}
}

// later is the last of two prices that exists.
func later(a, b float64) float64 {
	if math.IsNaN(b) {
		return a
	}
	return b
}

func (c *chart) onFill(_ context.Context, f engine.Fill) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Order.Side == engine.Buy {
		c.buy = f.Price.InexactFloat64()
	} else {
		c.sell = f.Price.InexactFloat64()
	}
	return nil
}
