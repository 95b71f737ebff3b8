package engine_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	"github.com/eventbus-go/eventbus/eventbustest"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/candles"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
)

// prices is a Source of candles that open and close at one price, a day after the other, the last on Saturday, 3 January 1970.
type prices []string

func (p *prices) Next() (candles.Candle, error) {
	if len(*p) == 0 {
		return candles.Candle{}, io.EOF
	}
	price := decimal.MustParse((*p)[0])
	*p = (*p)[1:]
	return candles.Candle{Time: time.Unix(86400*int64(2-len(*p)), 0), Open: price, High: price, Low: price, Close: price}, nil
}

func config(closes ...string) engine.Config {
	source := prices(closes)
	return engine.Config{
		Feed:       &engine.Replay{Candles: &source},
		Strategies: []engine.Strategy{engine.NewCrossover(1, 2)},
		Broker:     engine.NewPaperBroker(decimal.One),
		Portfolio:  engine.NewLedger(decimal.MustParse("100"), 0),
		Cash:       decimal.MustParse("100"),
		Lot:        decimal.One,
		Options:    []eventbus.Option{eventbus.WithLogger(slog.New(slog.DiscardHandler))},
	}
}

// dip is a strategy of one's own: it buys on every fall and sells on every rise.
type dip struct{ last decimal.Decimal }

func (s *dip) OnClose(c engine.Candle) (side engine.Side, ok bool) {
	before := s.last
	s.last = c.Close
	switch {
	case before.IsZero() || c.Close.Equal(before):
		return "", false
	case c.Close.LessThan(before):
		return engine.Buy, true
	}
	return engine.Sell, true
}

// noFridays is a risk check of one's own.
type noFridays struct{}

func (noFridays) Check(o engine.Order, _ engine.Account) error {
	if o.Time.UTC().Weekday() == time.Friday {
		return errors.New("no trade on a Friday")
	}
	return nil
}

func TestNewTakesComponentsOfOnesOwn(t *testing.T) {
	c := config("10", "9", "8", "9", "7", "6") // from Monday to Saturday
	c.Strategies = []engine.Strategy{&dip{}}
	c.Risk = []engine.Risk{noFridays{}}
	e, err := engine.New(c)
	require.NoError(t, err)
	rec := eventbustest.NewRecorder(t, e.Bus()).Within(0)
	require.NoError(t, e.Run(t.Context()))
	require.Equal(t, engine.Counts{Signals: 5, Vetoed: 1, Orders: 3}, e.Counts())
	filled := 0
	for _, event := range rec.Events() {
		if event.Type == eventbus.OrderFilled {
			filled++
		}
	}
	require.Equal(t, 2, filled, "the third order waits for a candle")
}

func TestRiskVetoesAnOrder(t *testing.T) {
	c := config("10", "9", "11", "12")
	veto := engine.LossLimit{Least: decimal.MustParse("100.01")}
	c.Risk = []engine.Risk{veto}
	e, err := engine.New(c)
	require.NoError(t, err)
	var vetoed engine.Cancellation
	engine.OrderUpdate.Subscribe(e.Bus(), func(_ context.Context, u engine.Cancellation) error {
		vetoed = u
		return nil
	})
	require.NoError(t, e.Run(t.Context()))
	require.Equal(t, engine.Counts{Signals: 1, Vetoed: 1}, e.Counts())
	require.Equal(t, "the equity, 100, is below the limit, 100.01", vetoed.Reason)
}

func TestNewRefusesWhatIsMissing(t *testing.T) {
	for name, spoil := range map[string]func(*engine.Config){
		"a Config needs a Feed, a Strategy": func(c *engine.Config) { c.Strategies = nil },
		"lot 0, cash 100":                   func(c *engine.Config) { c.Lot = decimal.Zero },
		"lot 1, cash -1":                    func(c *engine.Config) { c.Cash = decimal.MustParse("-1") },
	} {
		c := config("1")
		spoil(&c)
		_, err := engine.New(c)
		require.ErrorContains(t, err, name)
	}
}
