// Package progress shows on a terminal how far a long run through a file is.
package progress

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/eventbus-go/eventbus/examples/amount"
)

// from is how many candles a run plays before it shows progress: fewer take no time worth watching.
const from = 100_000

// Progress shows on a terminal how far a long run is, and nothing elsewhere. One goroutine at a time may use it.
type Progress struct {
	size     int64 // of the file in bytes; 0 when unknown
	read     func() int64
	out      io.Writer
	terminal bool
	bar      *progressbar.ProgressBar // nil until there is something to show
	played   int
}

// New takes the size of the file in bytes, 0 if it is unknown, and what tells how many of them are read.
func New(size int64, read func() int64, out io.Writer) *Progress {
	file, ok := out.(*os.File)
	return &Progress{size: size, read: read, out: out, terminal: ok && term.IsTerminal(int(file.Fd()))}
}

// Candle is called after each candle.
func (p *Progress) Candle() {
	p.played++
	if !p.terminal || p.played <= from || p.bar != nil && p.played%1000 != 0 {
		return
	}
	played := amount.Group(fmt.Sprint(p.played)) + " candles"
	if p.bar == nil {
		p.bar = newBar(p.size, played, p.out)
	} else {
		p.bar.Describe(played)
	}
	p.bar.Set64(p.read())
}

// Finish clears what is shown.
func (p *Progress) Finish() {
	if p.bar != nil {
		p.bar.Clear()
	}
}

// newBar counts bytes, because how many rows a file has is only known at its end.
func newBar(size int64, played string, out io.Writer) *progressbar.ProgressBar {
	if size <= 0 {
		size = -1
	}
	return progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(played),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetSpinnerChangeInterval(0), // a spinner of its own would leave a goroutine behind
	)
}
