package candles

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
)

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

func (r *Reader) bad(l line, column, value, reason string) error {
	const shown = 80
	if len(value) > shown {
		value = strings.ToValidUTF8(value[:shown], "") + "..."
	}
	return &rowError{File: r.name, Line: l.number, Column: column, Value: value, Reason: reason}
}

func (r *Reader) badLine(number int, err error) error {
	return fmt.Errorf("%s:%d: %w", r.name, number, err)
}

// badQuotes says which field of a row the quotes are wrong in.
func (r *Reader) badQuotes(l line, err error) error {
	var bad *csv.ParseError
	if !errors.As(err, &bad) {
		return r.badLine(l.number, err)
	}
	column, value := cmp.Or(r.separator, separators[0]).fieldAt(l.text, bad.Column-1)
	name := fmt.Sprint(column + 1)
	if column < len(r.columns.names) {
		name = r.columns.names[column]
	}
	return r.bad(l, name, value, bad.Err.Error())
}

// checkWidth lets a row end with separators more than it needs.
func (r *Reader) checkWidth(row row) error {
	got, want := len(row.fields), len(r.columns.names)
	if got < want {
		return r.bad(row.line, r.columns.names[got], "", fmt.Sprintf("is missing: the row has %d columns of %d", got, want))
	}
	for _, field := range row.fields[want:] {
		if strings.TrimSpace(field) != "" {
			return r.bad(row.line, fmt.Sprint(want+1), field, fmt.Sprintf("the row has %d columns, the first row %d", got, want))
		}
	}
	return nil
}

func (r *Reader) checkOrder(row row, c Candle, text string) error {
	column := r.columns.names[r.time[0]]
	switch order := c.Time.Compare(r.last); {
	case r.lastText == "":
	case order == 0:
		r.odd.sameTime.count(row.line)
		return r.checkRepeated(r.before, row)
	case order < 0 && !r.newestFirst:
		return r.bad(row.line, column, text, "is earlier than the row before, "+r.lastText+": sort the rows by time")
	case order > 0 && r.newestFirst:
		return r.bad(row.line, column, text, "is later than the row before, "+r.lastText+", in a file that begins with the newest candle: sort the rows by time")
	}
	return nil
}

// checkRange takes an open or close beyond high and low for a fault of the data, such as a rounded one, but in a file
// without header for a sign that the columns are others.
func (r *Reader) checkRange(row row, c Candle) error {
	if !c.Open.GreaterThan(c.High) && !c.Close.GreaterThan(c.High) && !c.Open.LessThan(c.Low) && !c.Close.LessThan(c.Low) {
		return nil
	}
	if r.guessed {
		return r.bad(row.line, "open to close", fmt.Sprint(c.Open, " ", c.High, " ", c.Low, " ", c.Close),
			"these are no open, high, low and close in this order: give the file a header that names its columns")
	}
	r.odd.outside.count(row.line)
	return nil
}

// oddities are rows that a user should know of, though they end no run.
type oddities struct {
	empty, repeated, sameTime, outside oddity
}

type oddity struct {
	rows  int
	first int // line
}

func (o *oddity) count(l line) {
	if o.rows++; o.rows == 1 {
		o.first = l.number
	}
}

func (r *Reader) note(format string, args ...any) {
	r.noted = append(r.noted, r.name+": "+fmt.Sprintf(format, args...))
}

// Warnings says what is odd about the rows read so far, with the file's name.
func (r *Reader) Warnings() []string {
	all := r.noted
	for _, kind := range []struct {
		oddity
		what string
	}{
		{r.odd.empty, "left out, without prices"},
		{r.odd.repeated, "left out, the same as the row before"},
		{r.odd.sameTime, "with the time of the row before"},
		{r.odd.outside, "with an open or close beyond high and low"},
	} {
		if kind.rows > 0 {
			all = append(all[:len(all):len(all)], fmt.Sprintf("%s: rows %s: %d, the first in line %d", r.name, kind.what, kind.rows, kind.first))
		}
	}
	if r.lines.cut {
		all = append(all[:len(all):len(all)], fmt.Sprintf("%s: the last line, %d, has no end: if the file was cut, its last number may be cut too", r.name, r.lines.number))
	}
	return all
}
