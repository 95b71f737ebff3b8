package candles

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	headLines = 40   // a header stands in the first so many lines that are not blank
	sampled   = 5000 // so many rows tell how a file writes dates and numbers, and which candle is the newest
)

// A layout is how a file keeps its candles.
type layout struct {
	separator   separator
	columns     columns
	time        []int // the columns that tell the time, joined with a space
	times       timeLayout
	numbers     numberStyle
	newestFirst bool
}

// findLayout reads as many rows ahead as it takes.
func (r *Reader) findLayout() error {
	if err := r.readAhead(headLines, func(string) bool { return true }); err != nil {
		return err
	}
	if len(r.ahead) == 0 {
		return fmt.Errorf("%s: is empty: want %s", r.name, wantedColumns)
	}
	if err := r.findHeader(); err != nil {
		return err
	}
	if err := r.findSymbol(); err != nil {
		return err
	}
	if err := r.readAhead(sampled, r.wanted); err != nil {
		return err
	}
	if err := r.checkSymbols(); err != nil {
		return err
	}
	return r.decide()
}

// readAhead fills r.ahead with n lines that are wanted. A line that cannot be read is a matter for later.
func (r *Reader) readAhead(n int, wanted func(text string) bool) error {
	r.ahead = slices.DeleteFunc(r.ahead, func(l line) bool { return !wanted(l.text) })
	for len(r.ahead) < n {
		l, err := r.lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && len(r.ahead) > 0:
			r.failed, r.failedAt = err, l.number
			return nil
		case err != nil:
			return r.badLine(l.number, err)
		case wanted(l.text):
			r.ahead = append(r.ahead, l)
		}
	}
	return nil
}

// decide tells from the rows ahead how numbers and times are written.
func (r *Reader) decide() error {
	var rows []row
	for i, l := range r.ahead {
		if i > 0 && l.text == r.ahead[i-1].text {
			continue
		}
		fields, err := r.separator.split(nil, l.text)
		if err == nil && r.checkWidth(row{l, fields}) == nil {
			rows = append(rows, row{l, fields})
		}
	}
	switch {
	case len(r.ahead) == 0:
		return r.noRows()
	case len(rows) == 0:
		return r.badRow(r.ahead[0])
	}
	if err := r.decideNumbers(rows); err != nil {
		return err
	}
	return r.decideTimes(rows)
}

func (r *Reader) decideNumbers(rows []row) error {
	styles := slices.DeleteFunc(slices.Clone(numberStyles), func(s numberStyle) bool {
		return r.options.Decimal != "" && s.name != r.options.Decimal
	})
	unsure, text := row{}, ""
	for _, row := range rows {
		for _, column := range r.columns.at[:volume] {
			field := strings.TrimSpace(row.fields[column])
			fit := slices.DeleteFunc(slices.Clone(styles), func(s numberStyle) bool {
				_, err := s.parse(field)
				return errors.Is(err, errNotANumber)
			})
			if len(fit) > 0 {
				styles = fit
			}
			if text == "" && len(fit) > 1 && strings.Contains(field, ",") {
				unsure, text = row, field
			}
		}
	}
	if r.numbers = styles[0]; len(styles) == 1 || text == "" {
		return nil
	}
	return r.bad(unsure.line, "open to close", text, "can have thousands or decimals behind the comma: say which with -decimal point or -decimal comma")
}

// badRow says what is wrong with a row that has no use at all.
func (r *Reader) badRow(l line) error {
	fields, err := r.separator.split(nil, l.text)
	if err != nil {
		return r.badQuotes(l, err)
	}
	return r.checkWidth(row{l, fields})
}
