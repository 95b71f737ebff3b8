package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	decimal "github.com/quagmt/udecimal"
)

// candleReader reads candles from a CSV file row by row; it keeps one row in memory.
// Only one goroutine may use it.
type candleReader struct {
	name     string
	rows     *bufio.Scanner
	line     int
	bytes    int64 // read so far, the buffer's included
	columns  columns
	decimals int // a number may have at most so many digits after the point
	fields   []string
	pending  bool // fields hold a row not yet delivered: the first of a file without header
	last     time.Time
	lastText string // of last, as the file has it; empty before the first candle
}

// rowError says which value of which row cannot be used, and why.
type rowError struct {
	File   string
	Line   int
	Column string
	Value  string
	Reason string
}

func (e *rowError) Error() string {
	return fmt.Sprintf("%s:%d: column %s: value %q: %s", e.File, e.Line, e.Column, e.Value, e.Reason)
}

// newCandleReader reads as far as the columns are known. The name stands for the file in errors. A number with more than
// decimals digits after the point is an error.
func newCandleReader(name string, r io.Reader, decimals int) (*candleReader, error) {
	cr := &candleReader{name: name, decimals: decimals}
	cr.rows = bufio.NewScanner(countingReader{r, &cr.bytes})
	if err := cr.readRow(); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: is empty: want %s", name, wantedColumns)
		}
		return nil, err
	}
	columns, header, err := findColumns(cr.fields)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, cr.line, err)
	}
	cr.columns, cr.pending = columns, !header
	return cr, nil
}

// Next returns the next candle, and io.EOF after the last, of which there is at least one. Any other error names the file and the line,
// and for a bad row (a *rowError) the column and the value too; there is no reading on after it.
func (r *candleReader) Next() (Candle, error) {
	if !r.pending {
		err := r.readRow()
		if err == io.EOF && r.lastText == "" {
			err = fmt.Errorf("%s: has a header and no candles: want a row for each, on a line of its own", r.name)
		}
		if err != nil {
			return Candle{}, err
		}
	}
	r.pending = false
	return r.candle()
}

// readRow splits the next row that is not blank into r.fields.
func (r *candleReader) readRow() error {
	for r.rows.Scan() {
		r.line++
		row := r.rows.Text()
		if r.line == 1 {
			row = strings.TrimPrefix(row, "\ufeff")
		}
		if strings.TrimSpace(row) != "" {
			return r.split(row)
		}
	}
	if err := r.rows.Err(); errors.Is(err, bufio.ErrTooLong) {
		r.line++
		return r.bad("1", "", fmt.Sprintf("the row is longer than %d bytes: want a line for each candle", bufio.MaxScanTokenSize))
	} else if err != nil {
		return fmt.Errorf("%s:%d: %w", r.name, r.line+1, err)
	}
	return io.EOF
}

// split leaves quoting to encoding/csv, one row at a time: read as a whole, a file with a stray quote
// would be one field from there to its end.
func (r *candleReader) split(row string) error {
	if strings.Contains(row, `"`) {
		var err error
		r.fields, err = csv.NewReader(strings.NewReader(row)).Read()
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			column, value := fieldAt(row, bad.Column-1)
			return r.bad(r.nameOf(column), value, bad.Err.Error())
		}
		return err
	}
	r.fields = r.fields[:0]
	for field := range strings.SplitSeq(row, ",") {
		r.fields = append(r.fields, field)
	}
	return nil
}

// fieldAt returns which field of row position at is in, or the field that opened the quote it is in, with its text.
func fieldAt(row string, at int) (column int, text string) {
	begin, quoted := 0, false
	for i := range min(at, len(row)) {
		switch {
		case row[i] == '"' && (quoted || i == begin):
			quoted = !quoted
		case row[i] == ',' && !quoted:
			column, begin = column+1, i+1
		}
	}
	text = row[begin:]
	if !quoted {
		text, _, _ = strings.Cut(text, ",")
	}
	return column, text
}

// nameOf returns the name of a column, or its number, counted from 1, if it has none.
func (r *candleReader) nameOf(column int) string {
	if column < len(r.columns.names) {
		return r.columns.names[column]
	}
	return fmt.Sprint(column + 1)
}

func (r *candleReader) candle() (c Candle, err error) {
	if err := r.checkWidth(); err != nil {
		return c, err
	}
	at := r.columns
	text := r.text(at.time)
	var ok bool
	if c.Time, ok = parseTime(text); !ok {
		return c, r.bad(at.names[at.time], text, "is not a date: want 2006-01-02, 2006-01-02T15:04:05Z or Unix seconds, milliseconds or microseconds")
	}
	if r.lastText != "" && c.Time.Before(r.last) {
		return c, r.bad(at.names[at.time], text, "is earlier than the row before, "+r.lastText)
	}
	var prices [4]decimal.Decimal
	for i, column := range [...]int{at.open, at.high, at.low, at.close} {
		if prices[i], err = r.price(column); err != nil {
			return c, err
		}
	}
	c.Open, c.High, c.Low, c.Close = prices[0], prices[1], prices[2], prices[3]
	if c.High.LessThan(c.Low) {
		return c, r.bad(at.names[at.high], r.text(at.high), "the high is below the low, "+c.Low.String())
	}
	c.Volume, err = r.volume()
	r.last, r.lastText = c.Time, text
	return c, err
}

func (r *candleReader) checkWidth() error {
	got, want := len(r.fields), len(r.columns.names)
	switch {
	case got < want:
		return r.bad(r.columns.names[got], "", fmt.Sprintf("is missing: the row has %d columns of %d", got, want))
	case got > want:
		return r.bad(fmt.Sprint(want+1), r.fields[want], fmt.Sprintf("the row has %d columns, the first row %d", got, want))
	}
	return nil
}

// text returns the field in a column, without the space around it.
func (r *candleReader) text(column int) string { return strings.TrimSpace(r.fields[column]) }

func (r *candleReader) number(column int) (decimal.Decimal, error) {
	text := r.text(column)
	n, err := decimal.Parse(text)
	if n.Prec() > r.decimals || errors.Is(err, decimal.ErrPrecOutOfRange) {
		return n, r.bad(r.columns.names[column], text, fmt.Sprintf("has more than %d digits after the point", r.decimals))
	}
	if err != nil {
		return n, r.bad(r.columns.names[column], text, "is not a decimal number such as 1455.22")
	}
	return n, nil
}

func (r *candleReader) price(column int) (decimal.Decimal, error) {
	n, err := r.number(column)
	if err == nil && !n.IsPos() {
		err = r.bad(r.columns.names[column], r.text(column), "a price must be more than 0")
	}
	return n, err
}

// volume is zero where the file has none: an index or a currency pair has no volume, and nothing here is decided by it.
func (r *candleReader) volume() (n decimal.Decimal, err error) {
	column := r.columns.volume
	if column < 0 || r.text(column) == "" {
		return n, nil
	}
	if n, err = r.number(column); err == nil && n.IsNeg() {
		err = r.bad(r.columns.names[column], r.text(column), "a volume must not be negative")
	}
	return n, err
}

func (r *candleReader) bad(column, value, reason string) error {
	const shown = 80
	if len(value) > shown {
		value = strings.ToValidUTF8(value[:shown], "") + "..."
	}
	return &rowError{File: r.name, Line: r.line, Column: column, Value: value, Reason: reason}
}

// A countingReader adds what is read to n.
type countingReader struct {
	io.Reader
	n *int64
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	*r.n += int64(n)
	return n, err
}
