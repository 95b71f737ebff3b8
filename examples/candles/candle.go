// Package candles reads candle files as people have them. A file is read right, or refused with what is wrong
// and what to do about it.
//
// Reading has four steps, each in a file of its own: bytes become text (decode.go), text becomes rows (rows.go),
// the first rows tell the layout (layout.go, with the tables in columns.go, times.go and numbers.go), and every
// row becomes a candle (convert.go).
package candles

import (
	"time"

	decimal "github.com/quagmt/udecimal"
)

// Candle is the trade in one instrument over one period.
// Its Time is the time of the period as the file gives it, usually its beginning. A time without a zone is in UTC.
type Candle struct {
	Time                           time.Time
	Open, High, Low, Close, Volume decimal.Decimal
}
