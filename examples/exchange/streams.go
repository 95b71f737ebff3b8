package exchange

import (
	"encoding/json"
	"strings"

	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

// tellLocked wakes the user streams if there are more reports than before.
func (e *Exchange) tellLocked(before int) {
	if len(e.mu.book.reports) > before {
		close(e.mu.changed)
		e.mu.changed = make(chan struct{})
	}
}

// sendLocked never waits: a client that does not keep up loses its connection.
func (e *Exchange) sendLocked(message any, symbol string) {
	var kind string
	switch message.(type) {
	case wire.Trade:
		kind = "trade"
	case wire.BookTicker:
		kind = "bookTicker"
	case wire.KlineEvent:
		kind = "kline_" + e.config.Interval.String()
	}
	data, _ := json.Marshal(message)
	frame, _ := json.Marshal(wire.Message{Stream: strings.ToLower(symbol) + "@" + kind, Data: data})
	for stream := range e.mu.streams {
		select {
		case stream <- frame:
		default:
			e.leaveLocked(stream)
		}
	}
}

func (e *Exchange) leaveLocked(stream chan []byte) {
	if e.mu.streams[stream] {
		delete(e.mu.streams, stream)
		close(stream)
	}
}

// drop ends all market streams.
func (e *Exchange) drop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for stream := range e.mu.streams {
		e.leaveLocked(stream)
	}
}
