package candles

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Options say what a file does not.
type Options struct {
	Digits  int    // a number may have at most so many digits after the point
	Symbol  string // the instrument to read, or column=value; empty: the file has one
	Dates   string // mdy, dmy or ymd: the order of dates such as 01/02/2024; empty: the rows tell
	Decimal string // point or comma; empty: the rows tell
}

// Reader reads candles from a CSV file row by row, the oldest first. It keeps the first rows in memory, from which it
// tells the layout, and a file with the newest candle first as a whole. Only one goroutine may use it.
type Reader struct {
	LeftOut int // rows without a candle so far

	name     string
	options  Options
	bytes    int64 // read so far
	lines    *lines
	ahead    []line // read ahead
	failed   error  // ends the lines ahead, at failedAt
	failedAt int

	layout
	guessed     bool // there is no header
	chosen      bool // the columns are of the instrument that is wanted
	instruments instruments

	row, before []string // fields
	scratch     []string
	text        string    // of the row
	last        time.Time // of the candle before
	lastText    string    // of last; empty before the first candle
	reversed    []Candle  // the rest of a file with the newest first, the oldest last
	loaded      bool

	noted []string
	odd   oddities
}

// A row is a line, split.
type row struct {
	line
	fields []string
}

// NewReader reads as far as the layout is known. The name stands for the file in errors.
func NewReader(name string, r io.Reader, options Options) (*Reader, error) {
	cr := &Reader{name: name, options: options}
	text, err := decode(countingReader{r, &cr.bytes})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	cr.lines = newLines(text)
	return cr, cr.findLayout()
}

// Bytes is how much of the file is read so far, packed if it is.
func (r *Reader) Bytes() int64 { return r.bytes }

// Next returns the next candle, and io.EOF after the last, of which there is at least one. Any other error names the file and
// the line, and for a bad row the column and the value too; there is no reading on after it.
func (r *Reader) Next() (Candle, error) {
	if !r.newestFirst {
		return r.next()
	}
	for !r.loaded {
		c, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			r.loaded = true
		case err != nil:
			return c, err
		default:
			r.reversed = append(r.reversed, c)
		}
	}
	last := len(r.reversed) - 1
	if last < 0 {
		return Candle{}, io.EOF
	}
	c := r.reversed[last]
	r.reversed = r.reversed[:last]
	return c, nil
}

// next returns the next candle in the order of the file.
func (r *Reader) next() (Candle, error) {
	for {
		l, err := r.nextLine()
		switch {
		case errors.Is(err, io.EOF) && r.lastText == "":
			return Candle{}, r.noRows()
		case err != nil:
			return Candle{}, err
		case l.text == r.text:
			r.LeftOut++
			r.odd.repeated.count(l)
			continue
		}
		fields, err := r.separator.split(r.before[:0], l.text)
		if err != nil {
			return Candle{}, r.badQuotes(l, err)
		}
		r.text, r.row, r.before = l.text, fields, r.row
		c, ok, err := r.candle(row{l, fields})
		if err != nil || ok {
			return c, err
		}
		r.LeftOut++
		r.odd.empty.count(l)
	}
}

func (r *Reader) nextLine() (l line, err error) {
	for {
		switch {
		case len(r.ahead) > 0:
			l, r.ahead = r.ahead[0], r.ahead[1:]
			return l, nil
		case r.failed != nil:
			return l, r.badLine(r.failedAt, r.failed)
		}
		l, err = r.lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return l, err
		case err != nil:
			return l, r.badLine(l.number, err)
		case r.wanted(l.text):
			return l, r.checkSymbols()
		}
	}
}
