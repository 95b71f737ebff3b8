package guide

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/eventbus-go/eventbus"
	decimal "github.com/quagmt/udecimal"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus/examples/exchange"
	"github.com/eventbus-go/eventbus/examples/tradingengine/engine"
	"github.com/eventbus-go/eventbus/examples/tradingengine/live"
)

// trade runs an engine on the exchange at url until ctx ends. Then its orders are cancelled and the bus is drained.
func trade(ctx context.Context, url string) (*engine.Ledger, error) {
	log := slog.New(slog.DiscardHandler)
	cash := decimal.MustParse("100000")
	account := live.NewAccount(url, fmt.Sprint("guide", time.Now().UnixNano()), decimal.One, log)
	ledger := engine.NewLedger(cash, 0)
	e, err := engine.New(engine.Config{
		Feed:       &live.Stream{URL: url, Log: log},
		Strategies: []engine.Strategy{&engine.PerSymbol{New: func() engine.Strategy { return engine.NewBreakout(3, 2) }}},
		Risk:       []engine.Risk{engine.LossLimit{Least: decimal.MustParse("90000")}},
		Broker:     account,
		Portfolio:  ledger,
		Cash:       cash,
		Lot:        decimal.One,
		Budget:     decimal.MustParse("10000"),
		Options:    []eventbus.Option{eventbus.WithLogger(log)},
	})
	if err != nil {
		return nil, err
	}
	engine.QuoteChanged.Subscribe(e.Bus(), account.OnQuote)
	if err := e.Run(ctx); err != context.Cause(ctx) {
		return nil, err
	}
	return ledger, nil
}

func TestSmallLiveEngineTrades(t *testing.T) {
	e, err := exchange.New(exchange.Config{Symbols: []string{"BTCUSDT"}, Interval: time.Second, Speed: 20, Seed: 1})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewUnstartedServer(e.Handler())
	server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	server.Start()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.Run(ctx)
	}()
	defer func() {
		cancel()
		<-ended
		http.DefaultClient.CloseIdleConnections()
		server.Close()
	}()
	limit, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	ledger, err := trade(limit, server.URL)
	require.NoError(t, err)
	require.Positive(t, ledger.Books().Fills)
}
